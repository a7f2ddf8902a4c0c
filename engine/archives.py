"""Uploaded archives: zip, and tar plain or packed (gz, bz2, xz), read as data and unpacked within bounds.

Not covered: zstd, 7z, rar, encrypted or split archives. Files that systems leave behind (``.DS_Store``) are skipped.
"""

import bz2
import io
import lzma
import shutil
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Literal, NamedTuple, Protocol

from engine.archive_names import NameFault, Names, is_litter
from engine.tar_index import BLOCK, TarFault, read_members
from engine.zip_index import Member, ZipFault, read_chunks, read_index
from pith.errors import PithError

ArchiveKind = Literal["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"]

_CHUNK: Final = 1 << 18
_XZ_MEMORY: Final = 256 << 20
_STARTS: Final[tuple[tuple[bytes, ArchiveKind], ...]] = (
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b", "tar.gz"),
    (b"BZh", "tar.bz2"),
    (b"\xfd7zXZ\x00", "tar.xz"),
)


class ArchiveLimits(NamedTuple):
    """``total`` and ``file`` are unpacked bytes; above ``ratio_from``, no more than ``ratio`` times the packed ones."""

    members: int = 2_000_000
    total: int = 64 << 30
    file: int = 32 << 30
    ratio: int = 200
    ratio_from: int = 256 << 20


class Entry(NamedTuple):
    """One file; ``chunks`` are its bytes and are to be taken before the next entry."""

    name: str
    size: int
    chunks: Iterator[bytes]


class _Decompressor(Protocol):
    """What the decompressors of bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def archive_kind(path: Path) -> ArchiveKind | None:
    """What kind of archive the file is by its first bytes; None where it is none that is taken."""
    with path.open("rb") as file:
        start = file.read(BLOCK)
    for magic, kind in _STARTS:
        if start.startswith(magic):
            return kind
    return "tar" if start[257:262] == b"ustar" else None


def entries(path: Path, limits: ArchiveLimits = ArchiveLimits()) -> Iterator[Entry]:
    """Every file of the archive under a plain relative name, in the archive's order; folders are left out.

    Raises:
        PithError: ``archive_unsafe``, ``archive_damaged`` or ``archive_too_large``, when it is met.
    """
    kind = archive_kind(path)
    if kind is None:
        raise PithError("archive_damaged", reason="it is no zip and no tar (plain, gz, bz2 or xz)")
    with _faults():
        for entry in _zip_entries(path, limits) if kind == "zip" else _tar_entries(path, kind, limits):
            yield entry._replace(chunks=_translated(entry.chunks))


def extract(path: Path, folder: Path, limits: ArchiveLimits = ArchiveLimits()) -> list[str]:
    """Unpack into ``folder``, which is made, and which is gone again if anything is wrong. The names of the files.

    Raises:
        PithError: as ``entries``.
        FileExistsError: the folder is there already.
    """
    folder.mkdir(parents=True)
    names: list[str] = []
    try:
        for entry in entries(path, limits):
            target = folder / entry.name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                file.writelines(entry.chunks)
            names.append(entry.name)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return names


def _translated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Faults that show only when the bytes are taken are errors of the table too."""
    with _faults():
        yield from chunks


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except ZipFault as fault:
        _refuse_zip(fault)
    except TarFault as fault:
        if fault.kind == "unsafe":
            raise PithError("archive_unsafe", found=fault.reason) from fault
        raise PithError("archive_damaged", reason=fault.reason) from fault
    except NameFault as fault:
        raise PithError("archive_unsafe", found=fault) from fault
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise PithError("archive_damaged", reason=f"it cannot be unpacked: {str(error)[:100]}") from error


def _refuse_zip(fault: ZipFault) -> None:
    if fault.kind == "too_large":
        raise PithError("archive_too_large", what=fault.reason, value=fault.value, limit=fault.limit) from fault
    if fault.kind == "tricky":
        raise PithError("archive_unsafe", found=fault.reason) from fault
    raise PithError("archive_damaged", reason=fault.reason) from fault


def _at_most(what: str, value: int, limit: int) -> None:
    if value > limit:
        raise PithError("archive_too_large", what=what, value=value, limit=limit)


def _zip_entries(path: Path, limits: ArchiveLimits) -> Iterator[Entry]:
    with path.open("rb") as file:
        members = read_index(file, limits.members, folders=True)
        files = _checked(members, limits)
        for name, member in files:
            yield Entry(name, member.size, read_chunks(file, member))


def _checked(members: dict[str, Member], limits: ArchiveLimits) -> list[tuple[str, Member]]:
    """All members looked at before the first is unpacked."""
    names, files = Names(), []
    for member in members.values():
        kind = stat.S_IFMT(member.mode)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise PithError("archive_unsafe", found=f"a link or a device ({member.name[:80]!r})")
        if member.name.endswith("/"):
            names.folder(member.name)
            continue
        _at_most(f"The size of {member.name[:80]}", member.size, limits.file)
        if member.size > limits.ratio_from:
            _at_most(f"The packing ratio of {member.name[:80]}", member.size // max(member.packed, 1), limits.ratio)
        name = names.file(member.name)
        if not is_litter(name):
            files.append((name, member))
    total, packed = (sum(getattr(member, one) for member in members.values()) for one in ("size", "packed"))
    _at_most("The size of all files", total, limits.total)
    if total > limits.ratio_from:
        _at_most("The packing ratio", total // max(packed, 1), limits.ratio)
    return files


def _tar_entries(path: Path, kind: ArchiveKind, limits: ArchiveLimits) -> Iterator[Entry]:
    names, count = Names(), 0
    with path.open("rb") as file:
        read = _Bounded(_reader(file, kind), path.stat().st_size, limits).read
        for member, chunks in read_members(read):
            count += 1
            _at_most("The number of members", count, limits.members)
            if member.folder:
                names.folder(member.name)
                continue
            _at_most(f"The size of {member.name[:80]}", member.size, limits.file)
            name = names.file(member.name)
            if not is_litter(name):
                yield Entry(name, member.size, chunks)
        while read(_CHUNK):
            """What is behind the end is padding; a packed stream checks itself when it is read to its own end."""


class _Bounded:
    """Counts what comes out of a stream, and stops it where there is too much for what went in."""

    def __init__(self, read: Callable[[int], bytes], packed: int, limits: ArchiveLimits) -> None:
        self._read, self._packed, self._limits, self._taken = read, packed, limits, 0

    def read(self, size: int) -> bytes:
        data = self._read(size)
        self._taken += len(data)
        _at_most("The size of all files", self._taken, self._limits.total)
        if self._taken > self._limits.ratio_from:
            _at_most("The packing ratio", self._taken // max(self._packed, 1), self._limits.ratio)
        return data


def _reader(file: BinaryIO, kind: ArchiveKind) -> Callable[[int], bytes]:
    """A read function that gives exactly as many bytes as asked, until the end."""
    match kind:
        case "tar.gz":
            return _buffered(_gunzipped(file))
        case "tar.bz2":
            return _buffered(_unpacked(file, bz2.BZ2Decompressor))
        case "tar.xz":
            return _buffered(_unpacked(file, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY)))
        case _:
            return file.read


def _buffered(chunks: Iterator[bytes]) -> Callable[[int], bytes]:
    waiting = io.BytesIO()

    def read(size: int) -> bytes:
        nonlocal waiting
        parts = [waiting.read(size)]
        while (missing := size - sum(map(len, parts))) > 0:
            waiting = io.BytesIO(next(chunks, b""))
            if not (part := waiting.read(missing)):
                break
            parts.append(part)
        return b"".join(parts)

    return read


def _gunzipped(file: BinaryIO) -> Iterator[bytes]:
    """Several members one after another are one stream, as gzip has it."""
    engine, data = zlib.decompressobj(wbits=31), b""
    while data := data or file.read(_CHUNK):
        if engine.eof:
            if not data.strip(b"\0"):
                data = b""
                continue
            engine = zlib.decompressobj(wbits=31)
        if piece := engine.decompress(data, _CHUNK):
            yield piece
        data = engine.unused_data if engine.eof else engine.unconsumed_tail
    if not engine.eof:
        raise EOFError("the stream ends too early")


def _unpacked(file: BinaryIO, make: Callable[[], _Decompressor]) -> Iterator[bytes]:
    engine, data = make(), b""
    while True:
        if engine.eof:
            data = engine.unused_data or file.read(_CHUNK)
            if not data.strip(b"\0"):
                return
            engine = make()
        elif engine.needs_input and not (data := file.read(_CHUNK)):
            raise EOFError("the stream ends too early")
        if piece := engine.decompress(data, _CHUNK):
            yield piece
        data = b""
