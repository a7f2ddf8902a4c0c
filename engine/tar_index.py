"""A strict reader of tar streams, for files that nobody vouches for: plain files and folders, in file order.

Not covered, and refused: links, devices, sparse files, multi-volume archives. Long names are taken in both ways
(GNU's and POSIX's), bounded. Unlike ``tarfile`` it never reads a header of unbounded length into memory.
"""

from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple

BLOCK: Final = 512
_MOST_HEADER: Final = 64 << 10
_EMPTY: Final = bytes(BLOCK)
_FILES, _FOLDER, _LONG_NAME, _EXTENDED, _GLOBAL = (b"0", b"\0", b"7"), b"5", b"L", b"x", b"g"
_REFUSED: Final = {b"1": "a hard link", b"2": "a link", b"3": "a device", b"4": "a device", b"6": "a pipe"}

Kind = Literal["damaged", "unsafe"]
Read = Callable[[int], bytes]


class TarFault(Exception):
    """What is wrong with a tar; whoever opened it turns this into an error of the table."""

    def __init__(self, kind: Kind, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


class TarMember(NamedTuple):
    """A file, or a folder (whose size is 0)."""

    name: str
    size: int
    folder: bool


class _Header(NamedTuple):
    name: bytes
    size: int
    kind: bytes


def read_members(read: Read) -> Iterator[tuple[TarMember, Iterator[bytes]]]:
    """Each member with its bytes, which are to be taken before the next; what was not taken is skipped.

    Raises:
        TarFault: the stream is damaged, or holds something else than files and folders.
    """
    name: bytes | None = None
    size: int | None = None
    while (header := _header(read)) is not None:
        if header.kind in (_LONG_NAME, _EXTENDED, _GLOBAL):
            content = _small(read, header)
            if header.kind == _LONG_NAME:
                name = content.rstrip(b"\0")
            elif header.kind == _EXTENDED:
                found = _records(content)
                name = found.get(b"path", name)
                size = _number(found[b"size"], 10) if b"size" in found else None
            continue
        told = header._replace(name=header.name if name is None else name, size=header.size if size is None else size)
        member = _member(told)
        content_left = _content(read, member.size)
        yield member, content_left
        for _ in content_left:
            pass
        name = size = None
    if name is not None or size is not None:
        raise TarFault("damaged", "a long name belongs to no member")


def _header(read: Read) -> _Header | None:
    block = read(BLOCK)
    if block in (_EMPTY, b""):
        return None
    if len(block) < BLOCK:
        raise TarFault("damaged", "it ends in a header")
    told = _number(block[148:156], 8)
    if told != sum(block[:148]) + 8 * ord(" ") + sum(block[156:]):
        raise TarFault("damaged", "a header does not match its checksum")
    name, prefix = block[:100].partition(b"\0")[0], block[345:500].partition(b"\0")[0]
    if prefix and block[257:263] == b"ustar\0":
        name = prefix + b"/" + name
    return _Header(name, _size(block[124:136]), block[156:157])


def _size(field: bytes) -> int:
    return int.from_bytes(field[1:], "big") if field[0] == 0x80 else _number(field, 8)


def _number(field: bytes, base: int) -> int:
    text = field.strip(b" \0")
    if not text.isdigit() or len(text) > 20:
        raise TarFault("damaged", f"a header holds {field[:20]!r} where a number belongs")
    try:
        return int(text, base)
    except ValueError as error:
        raise TarFault("damaged", f"a header holds {field[:20]!r} where a number belongs") from error


def _small(read: Read, header: _Header) -> bytes:
    if header.size > _MOST_HEADER:
        raise TarFault("unsafe", f"a header of {header.size} bytes")
    return b"".join(_content(read, header.size))


def _records(content: bytes) -> dict[bytes, bytes]:
    """POSIX records: their length, a space, a name, an equals sign, a value, a newline."""
    found: dict[bytes, bytes] = {}
    while content:
        length, _, _ = content.partition(b" ")
        end = _number(length, 10)
        record = content[len(length) + 1 : end]
        name, equals, value = record.partition(b"=")
        if not len(length) + 1 < end <= len(content) or not equals or not value.endswith(b"\n"):
            raise TarFault("damaged", "an extended header is wrong")
        if name.startswith(b"GNU.sparse"):
            raise TarFault("unsafe", "a sparse file")
        found[name] = value[:-1]
        content = content[end:]
    return found


def _member(header: _Header) -> TarMember:
    try:
        name = header.name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TarFault("unsafe", f"a member with the name {header.name[:80]!r}") from error
    if header.kind == _FOLDER:
        return TarMember(name, 0, True)
    if header.kind not in _FILES:
        raise TarFault("unsafe", f"{_REFUSED.get(header.kind, 'something that is no file')} ({name[:80]!r})")
    return TarMember(name, header.size, name.endswith("/"))


def _content(read: Read, size: int) -> Iterator[bytes]:
    left = size + -size % BLOCK
    while left:
        chunk = read(min(left, 1 << 20))
        if not chunk:
            raise TarFault("damaged", "it ends in a file")
        padding = max(0, left - (-size % BLOCK))
        left -= len(chunk)
        if padding:
            yield chunk[:padding]
