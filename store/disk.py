"""What a disk can do to bytes: be full, lock, sync, copy. Knows nothing of blobs."""

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pith.errors import PithError

CHUNK = 4 * 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_RANGES = (errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def full_told_plainly(needed: int) -> Iterator[None]:
    """Turns a full disk (or quota, or file size limit) into PithError ``storage_full``; ``needed`` is in bytes."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise PithError("storage_full", needed=needed) from error
        raise


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold the lock of this file, against other processes and other threads."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def try_lock(file: BinaryIO) -> bool:
    """Lock until the file is closed; False when another holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_all(file: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_plain(path: Path) -> BinaryIO:
    """Raises PithError ``irregular_file``: links are not followed, and pipes do not hang."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise PithError("irregular_file", name=path.name) from error
        raise
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return os.fdopen(handle, "rb", buffering=0)
    os.close(handle)
    raise PithError("irregular_file", name=path.name)


def copy_to(source: BinaryIO, target: Path) -> None:
    """A new read-only file with the same bytes, or none. Shares blocks where the file system can."""
    size = os.fstat(source.fileno()).st_size
    with full_told_plainly(size), target.open("xb") as copy:
        try:
            _copy(source, copy, size)
            copy.flush()
            os.fchmod(copy.fileno(), 0o444)
        except BaseException:
            target.unlink()
            raise


def _copy(source: BinaryIO, copy: BinaryIO, size: int) -> None:
    left = size if hasattr(os, "copy_file_range") else 0
    try:
        while left and (done := os.copy_file_range(source.fileno(), copy.fileno(), left)):
            left -= done
    except OSError as error:
        if error.errno not in _NO_RANGES:
            raise
    source.seek(copy.seek(0, os.SEEK_END))
    shutil.copyfileobj(source, copy, CHUNK)
