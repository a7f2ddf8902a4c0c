"""Bytes on their way into a folder of blobs: hashed while they are written, then synced, pinned and named."""

import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from pith.artifact import Digest
from pith.errors import PithError
from store import paths
from store.disk import CHUNK, full_told_plainly, locked, open_plain, sync, try_lock, write_all


class Stored(NamedTuple):
    digest: Digest
    size: int


class BlobWriter(Protocol):
    """Bytes that are arriving. One thread at a time."""

    def write(self, data: bytes) -> None:
        """Raises PithError ``storage_full``; the writer is then aborted."""

    def commit(self, expected: Digest | None = None) -> Stored:
        """Make the bytes durable and give them their name. On an error nothing is stored.

        Raises:
            PithError: ``digest_mismatch`` or ``storage_full``.
        """

    def abort(self) -> None:
        """Forget the bytes. Harmless after ``commit`` or another ``abort``."""


def poured(path: Path, writer: Callable[[], BlobWriter]) -> Stored:
    """A plain file as a blob. Raises PithError ``irregular_file`` or ``storage_full``."""
    with open_plain(path) as file:
        one = writer()
        try:
            while chunk := file.read(CHUNK):
                one.write(chunk)
            return one.commit()
        finally:
            one.abort()


class LocalWriter:
    """See ``store.blobs.BlobWriter``. Its file is locked while it lives, so that nobody sweeps it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._hash = hashlib.sha256()
        self._size = 0
        self._path = paths.incoming(root) / secrets.token_hex(16)
        with locked(paths.blob_lock(root)), full_told_plainly(0):
            self._file = self._path.open("xb", buffering=0)
            try_lock(self._file)

    def write(self, data: bytes) -> None:
        try:
            with full_told_plainly(self._size + len(data)):
                write_all(self._file, data)
        except BaseException:
            self.abort()
            raise
        self._hash.update(data)
        self._size += len(data)

    def commit(self, expected: Digest | None = None) -> Stored:
        digest = f"sha256:{self._hash.hexdigest()}"
        try:
            if expected not in (None, digest):
                raise PithError("digest_mismatch", actual=digest, expected=expected)
            with full_told_plainly(self._size):
                os.fchmod(self._file.fileno(), 0o444)
                os.fsync(self._file.fileno())
                placed(self._root, self._path, digest)
        finally:
            self.abort()
        return Stored(digest, self._size)

    def abort(self) -> None:
        self._path.unlink(missing_ok=True)
        self._file.close()


def placed(root: Path, file: Path, digest: Digest) -> None:
    """Move a file, whose bytes have just been verified and synced, to its place as a blob, and pin it there."""
    target = paths.blob(root, digest)
    with locked(paths.blob_lock(root)):
        target.parent.mkdir(exist_ok=True)
        pin = paths.pins(root) / f"{target.name}.{secrets.token_hex(8)}"
        pin.touch()
        try:
            # Also where the blob is already: ours has just been verified, and the move replaces it at once.
            file.replace(target)
        except BaseException:
            pin.unlink()
            raise
    for folder in (target.parent, target.parent.parent, pin.parent):
        sync(folder)
