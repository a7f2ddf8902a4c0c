"""Uploads that arrive in parts. In a folder: one file each, whose size is the offset, so that nothing else can disagree
with it. (Those on their way into a bucket are in ``store.s3_partial``.)

Whoever writes holds the file's lock. The file stays until the upload's row says what came of it; a whole one that was
given its name as a blob before a process died is given it again, to no harm.
"""

import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from pith.artifact import Digest
from pith.errors import PithError
from pith.ids import UploadId
from store import paths
from store.blob_writer import Stored, placed
from store.disk import CHUNK, full_told_plainly, sync, try_lock, write_all


class PartialFile(Protocol):
    """One upload's bytes, while somebody writes them. One thread at a time; close it.

    ``named``: it is a blob too, and only the upload's row does not say so yet: not a byte of it may change.
    """

    @property
    def offset(self) -> int: ...

    @property
    def named(self) -> bool: ...

    def write(self, data: bytes) -> None:
        """No bytes say that none come for a while. Raises PithError ``storage_full``; what did fit stays."""

    def back_to(self, offset: int) -> None:
        """Forget what came after: to 0, or to where it was opened."""

    def sync(self) -> None:
        """What was written is still there when the machine's power was lost."""

    def commit(self, expected: Digest | None) -> Stored:
        """Give the bytes their name as a blob, which is pinned. The file stays.

        Raises:
            PithError: ``digest_mismatch``, ``storage_full``.
        """

    def close(self) -> None: ...


class Partials(Protocol):
    def create(self, id: UploadId) -> None:
        """Raises PithError ``storage_full``."""

    def size(self, id: UploadId) -> int | None:
        """How many bytes have arrived; None when there are none and never will be."""

    def open(self, id: UploadId) -> PartialFile | None:
        """To write to; None while another does.

        Raises:
            FileNotFoundError: the upload has ended.
        """

    def remove(self, id: UploadId) -> None: ...

    def older_than(self, seconds: float) -> Iterator[UploadId]:
        """Those that nothing was written to for so long."""


class LocalPartials:
    """See Partials. Makes its folder when it is made."""

    def __init__(self, root: Path) -> None:
        self._root = root
        paths.all_partial(root).mkdir(parents=True, exist_ok=True)

    def create(self, id: UploadId) -> None:
        with full_told_plainly(0):
            self._path(id).open("xb").close()
            sync(paths.all_partial(self._root))

    def size(self, id: UploadId) -> int | None:
        try:
            return self._path(id).stat().st_size
        except FileNotFoundError:
            return None

    def open(self, id: UploadId) -> "LocalPartialFile | None":
        path = self._path(id)
        try:
            file = path.open("r+b", buffering=0)
        except PermissionError:  # it has its name as a blob already
            path.chmod(0o600)
            file = path.open("r+b", buffering=0)
        if try_lock(file) and self.size(id) is not None:
            return LocalPartialFile(self._root, file, self._path(id))
        file.close()
        return None

    def remove(self, id: UploadId) -> None:
        self._path(id).unlink(missing_ok=True)

    def older_than(self, seconds: float) -> Iterator[UploadId]:
        before = time.time() - seconds
        for path in paths.all_partial(self._root).iterdir():
            try:
                if path.stat().st_mtime < before:
                    yield path.name
            except FileNotFoundError:
                continue

    def _path(self, id: UploadId) -> Path:
        return paths.partial(self._root, id)


class LocalPartialFile:
    """See PartialFile."""

    def __init__(self, root: Path, file: BinaryIO, path: Path) -> None:
        self._root, self._file, self._path = root, file, path
        self.offset = file.seek(0, os.SEEK_END)
        self.named = os.fstat(file.fileno()).st_nlink > 1
        self._hash = None if self.offset else hashlib.sha256()

    def write(self, data: bytes) -> None:
        assert not self.named
        try:
            with full_told_plainly(len(data)):
                write_all(self._file, data)
            if self._hash is not None:
                self._hash.update(data)
            self.offset += len(data)
        except BaseException:
            self.offset, self._hash = self._file.seek(0, os.SEEK_END), None
            raise

    def back_to(self, offset: int) -> None:
        assert not self.named
        self._file.truncate(offset)
        self.offset = self._file.seek(offset)
        self._hash = None if offset else hashlib.sha256()

    def sync(self) -> None:
        with full_told_plainly(0):
            os.fsync(self._file.fileno())

    def commit(self, expected: Digest | None) -> Stored:
        digest = f"sha256:{(self._hash or self._whole()).hexdigest()}"
        if expected not in (None, digest):
            raise PithError("digest_mismatch", actual=digest, expected=expected)
        aside = paths.incoming(self._root) / secrets.token_hex(16)
        with full_told_plainly(self.offset):
            os.fsync(self._file.fileno())
            os.fchmod(self._file.fileno(), 0o444)
            os.link(self._path, aside)
            try:
                placed(self._root, aside, digest)
            finally:
                aside.unlink(missing_ok=True)  # moved; or still there, where it was the blob already
        return Stored(digest, self.offset)

    def close(self) -> None:
        self._file.close()

    def _whole(self) -> "hashlib._Hash":
        found = hashlib.sha256()
        self._file.seek(0)
        while data := self._file.read(CHUNK):
            found.update(data)
        return found
