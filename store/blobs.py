"""Blobs: bytes named by their digest, in a folder of one file system; those in a bucket are in ``store.s3_blobs``.

A blob that is committed is *pinned* until ``settle`` says that the database refers to it. ``delete`` takes away
only what is neither pinned nor referred to, so a file that somebody deletes while somebody else uploads the same
bytes is never lost between the upload's commit and its row.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from pith.artifact import Digest
from pith.errors import PithError
from store import paths
from store.blob_writer import BlobWriter, LocalWriter, Stored, poured
from store.database import Database
from store.disk import copy_to, locked, try_lock
from store.partial import LocalPartials, Partials
from store.s3_blobs import open_s3
from store.settings import Settings

_PIECE = 2**20


class Blobs(Protocol):
    def writer(self) -> BlobWriter: ...

    def put_file(self, path: Path) -> Stored:
        """Copy a plain file in. Raises PithError ``irregular_file`` or ``storage_full``."""

    def read(self, digest: Digest, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from ``start`` up to, and without, ``end``, in pieces.

        Raises:
            PithError: ``blob_missing``, before the first piece is asked for.
        """

    def size(self, digest: Digest) -> int:
        """In bytes. Raises PithError ``blob_missing``."""

    def link_to(self, digest: Digest, target: Path) -> None:
        """Stage the bytes as a new file that is not the blob. Raises PithError ``blob_missing`` or ``storage_full``."""

    def settle(self, digest: Digest) -> None:
        """Take one pin off: a committed row refers to the blob now."""

    def delete(self, digest: Digest, referred: Callable[[Digest], bool]) -> bool:
        """Delete unless the blob is pinned or ``referred`` to. No upload can begin to name it meanwhile."""

    def older_than(self, seconds: float) -> Iterator[Digest]:
        """Blobs that were stored longer ago; pins of that age are dropped first."""

    def check_writable(self) -> None:
        """Raises PithError ``unavailable`` when nothing could be stored."""

    def partials(self) -> Partials:
        """Where uploads in parts arrive."""


def open_blobs(settings: Settings, db: Database) -> Blobs:
    """The blobs that ``Settings.blob_url`` names.

    Raises:
        PithError: ``setting_refused`` or ``unavailable``: a bucket that cannot be written to.
    """
    if settings.blob_url.startswith("s3://"):
        return open_s3(settings, db)
    return LocalBlobs(Path(unquote(urlsplit(settings.blob_url).path)))


class LocalBlobs:
    """Makes its folders, and sweeps what dead writers have left in them, when it is made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in (paths.incoming(root), paths.pins(root), root / "sha256"):
            folder.mkdir(parents=True, exist_ok=True)
        with locked(paths.blob_lock(root)):
            for file in paths.incoming(root).iterdir():
                _sweep(file)

    def writer(self) -> LocalWriter:
        return LocalWriter(self.root)

    def put_file(self, path: Path) -> Stored:
        return poured(path, self.writer)

    def open(self, digest: Digest) -> BinaryIO:
        return self.path(digest).open("rb")

    def read(self, digest: Digest, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        return _pieces(self.open(digest), start, end)

    def size(self, digest: Digest) -> int:
        return self.path(digest).stat().st_size

    def path(self, digest: Digest) -> Path:
        """Where the bytes can be read, and must not be written. Raises PithError ``blob_missing``."""
        path = paths.blob(self.root, digest)
        if not path.is_file():
            raise PithError("blob_missing", digest=digest, what="an earlier upload")
        return path

    def link_to(self, digest: Digest, target: Path) -> None:
        """A copy, not a hard link, although blobs are read-only: a job runs as our own user, who may change the
        mode and write, and where the system has no Landlock nothing else would keep it from rewriting bytes that
        others share. On XFS and Btrfs the copy shares its blocks and costs nothing."""
        with self.open(digest) as source:
            copy_to(source, target)

    def settle(self, digest: Digest) -> None:
        with locked(paths.blob_lock(self.root)):
            for pin in self._pins(digest)[:1]:
                pin.unlink(missing_ok=True)

    def delete(self, digest: Digest, referred: Callable[[Digest], bool]) -> bool:
        with locked(paths.blob_lock(self.root)):
            if self._pins(digest) or referred(digest):
                return False
            paths.blob(self.root, digest).unlink(missing_ok=True)
            return True

    def older_than(self, seconds: float) -> Iterator[Digest]:
        before = time.time() - seconds
        for pin in paths.pins(self.root).iterdir():
            if _written_at(pin) < before:
                pin.unlink(missing_ok=True)
        for file in (self.root / "sha256").glob(f"??/{'[0-9a-f]' * 64}"):
            if _written_at(file) < before:
                yield f"sha256:{file.name}"

    def partials(self) -> LocalPartials:
        return LocalPartials(self.root)

    def check_writable(self) -> None:
        try:
            writer = self.writer()
            try:
                writer.write(secrets.token_bytes(1))
            finally:
                writer.abort()
        except (OSError, PithError) as error:
            raise PithError("unavailable", what="The storage") from error

    def _pins(self, digest: Digest) -> list[Path]:
        return list(paths.pins(self.root).glob(f"{paths.hex_of(digest)}.*"))


def _pieces(file: BinaryIO, start: int, end: int | None) -> Iterator[bytes]:
    with file:
        left = (os.fstat(file.fileno()).st_size if end is None else end) - file.seek(start)
        while left > 0 and (piece := file.read(min(_PIECE, left))):
            left -= len(piece)
            yield piece


def _sweep(file: Path) -> None:
    """Remove the file of a writer that is dead: its lock can be had."""
    try:
        with file.open("rb") as abandoned:
            if try_lock(abandoned):
                file.unlink(missing_ok=True)
    except FileNotFoundError:
        return


def _written_at(file: Path) -> float:
    """A file that has just gone counts as new: it is nothing to clean up."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return time.time()
