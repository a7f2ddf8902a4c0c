"""Blobs: bytes named by their digest, in a folder (``LocalBlobs``)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from pith.artifact import Digest


class Stored(NamedTuple):
    digest: Digest
    size: int


class BlobWriter(Protocol):
    def write(self, data: bytes) -> None:
        """Raises PithError ``storage_full``; the writer is then aborted."""

    def commit(self, expected: Digest | None = None) -> Stored:
        """Make the bytes durable and give them their name. Raises ``digest_mismatch``, ``storage_full``.

        The blob then waits, protected, for the database to refer to it (Resources.create, Jobs.succeed).
        """

    def abort(self) -> None:
        """Forget the bytes. Harmless after commit or another abort."""


class Blobs(Protocol):
    def writer(self) -> BlobWriter: ...
    def put_file(self, path: Path) -> Stored: ...
    def open(self, digest: Digest) -> BinaryIO: ...
    def size(self, digest: Digest) -> int: ...
    def path(self, digest: Digest) -> Path: ...
    def link_to(self, digest: Digest, target: Path) -> None: ...
    def settle(self, digest: Digest) -> None: ...
    def delete(self, digest: Digest, referred: Callable[[Digest], bool]) -> bool: ...
    def old(self, seconds: float) -> Iterator[Digest]: ...


def open_blobs(url: str) -> Blobs:
    """The store that ``Settings.blob_url`` names; sweeps what dead writers have left."""
    raise NotImplementedError
