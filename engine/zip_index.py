"""A strict reader of zip directories, for files that nobody vouches for. Stored and deflated members only.

Not covered: encryption, split archives, comments, anything before the first member or behind the last.
Unlike ``zipfile`` it believes a member only where both of its headers agree, and members never overlap.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

STORED, DEFLATED = 0, 8
_LOCAL, _CENTRAL, _END, _END64, _LOCATOR = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_UTF8, _DESCRIPTOR, _MAX_SPEED = 0x800, 0x8, 0x6
_UNIX = 3
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_CHUNK = 1 << 20
_MAX_NAME, _MAX_ENTRY = 512, 2048

Kind = Literal["not_an_archive", "truncated", "tricky", "too_large"]


class ZipFault(Exception):
    """What is wrong with an archive; whoever opened it turns this into an error of the table."""

    def __init__(self, kind: Kind, reason: str, value: int = 0, limit: int = 0) -> None:
        super().__init__(reason)
        self.kind, self.reason, self.value, self.limit = kind, reason, value, limit


class Member(NamedTuple):
    """One member; ``start`` is where its bytes begin in the file, ``mode`` its Unix type and rights where given.

    The name of a folder ends in a slash.
    """

    name: str
    method: int
    size: int
    packed: int
    crc: int
    start: int
    mode: int = 0


class _Entry(NamedTuple):
    name: bytes
    flags: int
    method: int
    size: int
    packed: int
    crc: int
    header: int
    mode: int


class _Span(NamedTuple):
    """Where the archive lies in its file: all of it, or a stored member of another archive."""

    begin: int
    end: int


def read_index(
    file: BinaryIO, max_members: int, begin: int = 0, end: int | None = None, folders: bool = False
) -> dict[str, Member]:
    """Every member of the archive between ``begin`` and ``end`` by its name, in file order.

    Members that are ``folders`` are refused unless they are asked for.

    Raises:
        ZipFault: the archive is damaged, or is built to be read in two ways.
    """
    span = _Span(begin, file.seek(0, os.SEEK_END) if end is None else end)
    directory, count, stop = _directory(file, span, max_members)
    entries = sorted(_entries(directory, count, begin), key=lambda entry: entry.header)
    members: dict[str, Member] = {}
    free = begin
    for entry in entries:
        member = _located(file, entry, stop, free, folders)
        if member.name in members:
            raise ZipFault("tricky", f"two members with the name {member.name!r}")
        members[member.name] = member
        free = member.start + member.packed
    return members


def read_chunks(file: BinaryIO, member: Member) -> Iterator[bytes]:
    """The bytes of a member, checked against its size and CRC once all were taken.

    Raises:
        ZipFault: they do not match.
    """
    file.seek(member.start)
    raw = _raw(file, member)
    crc = size = 0
    for chunk in raw if member.method == STORED else _inflated(raw, member):
        crc, size = zlib.crc32(chunk, crc), size + len(chunk)
        if size > member.size:
            raise ZipFault("tricky", f"{member.name!r} unpacks to more than the {member.size} bytes it declares")
        yield chunk
    if size != member.size or crc != member.crc:
        raise ZipFault("truncated", f"{member.name!r} does not match its checksum")


def fault_start(path: Path) -> str:
    """The first bytes of a file, fit for a message."""
    with path.open("rb") as file:
        return repr(file.read(8))


def _raw(file: BinaryIO, member: Member) -> Iterator[bytes]:
    left = member.packed
    while left:
        chunk = file.read(min(left, _CHUNK))
        if not chunk:
            raise ZipFault("truncated", f"{member.name!r} ends too early")
        left -= len(chunk)
        yield chunk


def _inflated(raw: Iterator[bytes], member: Member) -> Iterator[bytes]:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for packed in raw:
            while packed:
                yield engine.decompress(packed, _CHUNK)
                packed = engine.unconsumed_tail
        yield engine.flush()
    except zlib.error as error:
        raise ZipFault("truncated", f"{member.name!r} cannot be inflated: {error}") from error
    if not engine.eof or engine.unused_data:
        raise ZipFault("truncated", f"{member.name!r} has no proper end")


def _directory(file: BinaryIO, span: _Span, max_members: int) -> tuple[bytes, int, int]:
    """The bytes of the central directory, how many entries it has, and where it starts."""
    file.seek(span.begin)
    if file.read(4) != _LOCAL:
        raise ZipFault("not_an_archive", "it does not start like a zip")
    stop = span.end - 22
    if stop < span.begin:
        raise ZipFault("truncated", "it ends in its first header")
    file.seek(stop)
    end = file.read(22)
    if end[:4] != _END:
        raise ZipFault("truncated", "its directory is missing at the end")
    disk, first_disk, here, count, length, start, comment = struct.unpack("<4H2LH", end[4:])
    if file.seek(max(stop - 20, 0)) and file.read(4) == _LOCATOR:
        small = (here, count, length, start)
        here, count, length, start, stop = _end64(file, span, stop)
        if any(a not in (b, _FULL16, _FULL32) for a, b in zip(small, (here, count, length, start), strict=True)):
            raise ZipFault("tricky", "two directories that disagree")
    if disk or first_disk or comment or here != count:
        raise ZipFault("tricky", "a split archive or a comment")
    if count > max_members:
        raise ZipFault("too_large", "The number of members", count, max_members)
    if span.begin + start + length != stop or length > count * _MAX_ENTRY:
        raise ZipFault("truncated", "its directory is not where it says")
    file.seek(span.begin + start)
    return file.read(length), count, span.begin + start


def _end64(file: BinaryIO, span: _Span, stop: int) -> tuple[int, int, int, int, int]:
    if stop - 76 < span.begin:
        raise ZipFault("truncated", "its 64-bit directory is missing")
    file.seek(stop - 20)
    magic, disk, at, disks = struct.unpack("<4sLQL", file.read(20))
    if magic != _LOCATOR or disk or disks > 1 or span.begin + at + 56 != stop - 20:
        raise ZipFault("truncated", "its 64-bit directory is not where it says")
    file.seek(span.begin + at)
    fields = struct.unpack("<4sQ2H2L4Q", file.read(56))
    magic, _, _, _, disk, first_disk, here, count, length, start = fields
    if magic != _END64 or disk or first_disk:
        raise ZipFault("truncated", "its 64-bit directory is damaged")
    return here, count, length, start, span.begin + at


def _entries(directory: bytes, count: int, begin: int) -> Iterator[_Entry]:
    at = 0
    for _ in range(count):
        fixed = directory[at : at + 46]
        if len(fixed) < 46 or fixed[:4] != _CENTRAL:
            raise ZipFault("truncated", "its directory is damaged")
        made, _, flags, method, _, _, crc, packed, size, names, extras, comment, disk, _, rights, header = (
            struct.unpack("<6H3L5H2L", fixed[4:])
        )
        at += 46
        name, extra = directory[at : at + names], directory[at + names : at + names + extras]
        at += names + extras + comment
        if comment or disk not in (0, _FULL16) or not 0 < names <= _MAX_NAME:
            raise ZipFault("tricky", "a member with a comment, on another disk or with an odd name")
        size, packed, header = _wide(extra, (size, packed, header))
        yield _Entry(name, flags, method, size, packed, crc, begin + header, rights >> 16 if made >> 8 == _UNIX else 0)
    if at != len(directory):
        raise ZipFault("truncated", "its directory has more bytes than entries")


def _wide(extra: bytes, values: tuple[int, ...]) -> tuple[int, ...]:
    """Put the 64-bit values of a zip64 field where the 32-bit ones are full."""
    if _FULL32 not in values:
        return values
    field = _field(extra, 1)
    wide = []
    for value in values:
        if value == _FULL32:
            if len(field) < 8:
                raise ZipFault("truncated", "a member's 64-bit size is missing")
            value, field = int.from_bytes(field[:8], "little"), field[8:]
        wide.append(value)
    return tuple(wide)


def _field(extra: bytes, wanted: int) -> bytes:
    while len(extra) >= 4:
        kind, length = struct.unpack("<2H", extra[:4])
        if kind == wanted:
            return extra[4 : 4 + length]
        extra = extra[4 + length :]
    return b""


def _located(file: BinaryIO, entry: _Entry, end: int, free: int, folders: bool) -> Member:
    """The member behind an entry, when its local header says the same and its bytes are its own."""
    file.seek(entry.header)
    fixed = file.read(30)
    name = _name(entry, folders)
    if entry.header < free:
        raise ZipFault("tricky", f"the member {name!r} overlaps another")
    if len(fixed) < 30 or fixed[:4] != _LOCAL:
        raise ZipFault("truncated", f"the header of {name!r} is damaged")
    _, flags, method, _, _, crc, packed, size, names, extras = struct.unpack("<5H3L2H", fixed[4:])
    local_name, extra = file.read(names), file.read(extras)
    size, packed = _wide(extra, (size, packed))
    told = (crc, size, packed) == (entry.crc, entry.size, entry.packed)
    later = bool(flags & _DESCRIPTOR) and (crc, size, packed) == (0, 0, 0)
    if (local_name, flags, method) != (entry.name, entry.flags, entry.method) or not (told or later):
        raise ZipFault("tricky", f"the member {name!r} has two headers that disagree")
    start = entry.header + 30 + names + extras
    if start + entry.packed > end:
        raise ZipFault("truncated", f"{name!r} ends behind the archive")
    return Member(name, method, entry.size, entry.packed, entry.crc, start, entry.mode)


def _name(entry: _Entry, folders: bool) -> str:
    try:
        name = entry.name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ZipFault("tricky", f"a member with the name {entry.name!r}") from error
    if entry.flags & ~(_UTF8 | _DESCRIPTOR | _MAX_SPEED):
        raise ZipFault("tricky", f"the encrypted or patched member {name!r}")
    if entry.method not in (STORED, DEFLATED) or (entry.method == STORED and entry.size != entry.packed):
        raise ZipFault("tricky", f"the member {name!r}, packed in an unknown way")
    parts = (name.removesuffix("/") if folders and not entry.size else name).split("/")
    if not name.isprintable() or "\\" in name or ":" in name or {"", ".", ".."} & set(parts):
        raise ZipFault("tricky", f"a member with the name {name!r}")
    return name
