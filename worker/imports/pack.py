"""Several files as one plain tar, the same bytes for the same files: an archive as intake takes it."""

import tarfile
from collections.abc import Sequence

from worker.imports.fetch import File, Sink

BLOCK = tarfile.BLOCKSIZE


def head(name: str, size: int) -> bytes:
    """What goes before the bytes of a file."""
    info = tarfile.TarInfo(f"model/{name}")
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT)


def tail(size: int) -> bytes:
    """What goes behind them."""
    return bytes(-size % BLOCK)


END = bytes(2 * BLOCK)


def packed_size(files: Sequence[File]) -> int:
    return sum(
        len(head(file.name, file.size or 0)) + (file.size or 0) + len(tail(file.size or 0)) for file in files
    ) + len(END)


class Member:
    """The sink of one file in an archive, which counts: it must have the size that its head says."""

    def __init__(self, sink: Sink) -> None:
        self.size = 0
        self._sink = sink

    def expect(self, size: int) -> None:
        """The size of the archive was told before."""

    def write(self, data: bytes) -> None:
        self.size += len(data)
        self._sink.write(data)
