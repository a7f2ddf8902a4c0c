"""What kind of file an upload is, by its content: what it is called says nothing."""

import struct
from pathlib import Path
from typing import Literal

from engine.archives import archive_kind
from engine.data.refusals import empty, shown, unknown_format, unreadable
from engine.first_bytes import LEGACY_TORCH, SEND_AGAIN, TO_MODELS, delivered_instead, model_file
from pith.errors import PithError

FileKind = Literal["npz", "archive", "parquet", "arrow", "arrow_stream", "csv", "json_lines"]
TABLES: frozenset[FileKind] = frozenset({"parquet", "arrow", "arrow_stream", "csv", "json_lines"})
_START = 1 << 16


def file_kind(path: Path, name: str) -> FileKind:
    """
    Raises:
        PithError: ``dataset_format_unknown``, ``dataset_empty``, ``dataset_pickled`` or ``dataset_unreadable``.
    """
    with path.open("rb") as file:
        start = file.read(_START)
    if not start:
        raise unreadable(f"{name} is empty")
    if is_pickle(start) and not start.startswith(LEGACY_TORCH):
        raise PithError("dataset_pickled", name=name)
    if start.startswith(b"PK\x03\x04"):
        return "npz" if _first_member(start).endswith(b".npy") else "archive"
    if start.startswith(b"PK\x05\x06"):
        raise empty("the archive has no files")
    if archive_kind(path):
        return "archive"
    if model := model_file(path):
        raise unknown_format(f"{name} is a model ({model})", TO_MODELS)
    return _binary(start, name) or _text(start, name)


def is_pickle(start: bytes) -> bool:
    """Whether the bytes are those of a pickle: of protocol 2 and later by its mark, of older ones by their opcodes."""
    if start[:1] == b"\x80" and len(start) > 2 and 2 <= start[1] <= 5:
        return True
    return start.startswith(
        (b"cos\n", b"cposix\n", b"c__builtin__\n", b"cbuiltins\n", b"ccopy_reg\n", b"(dp0\n", b"(lp0\n")
    )


def _first_member(start: bytes) -> bytes:
    if len(start) < 30:
        return b""
    (length,) = struct.unpack("<H", start[26:28])
    return start[30 : 30 + length]


def _binary(start: bytes, name: str) -> FileKind | None:
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"ARROW1"):
        return "arrow"
    if start.startswith(b"\xff\xff\xff\xff"):
        return "arrow_stream"
    if start.startswith(b"FEA1"):
        raise unreadable(f"{name} is Feather of version 1; write_feather(…, version=2) writes the current one")
    if start.startswith(b"\x93NUMPY"):
        raise unknown_format(f"{name} is one array", "numpy.savez(…, x_train=…, y_train=…) writes several by name")
    return None


def _text(start: bytes, name: str) -> FileKind:
    if instead := delivered_instead(start):
        raise unknown_format(f"{name} is {instead[0]}", instead[1])
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise unreadable(f"{name} is UTF-16; save it as UTF-8")
    if not start.strip(b"\0"):
        raise unknown_format(f"{name} holds zeros alone", SEND_AGAIN)
    if any(byte < 9 or 13 < byte < 32 for byte in start):
        raise unknown_format(f"{name} starts with {shown(start[:8])}")
    try:
        text = start.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(start) < _START or error.start < len(start) - 4:
            raise unreadable(f"{name} is no UTF-8 text at byte {error.start}; save it as UTF-8") from None
        text = start[: error.start].decode("utf-8-sig")
    return _by_first_letter(text.lstrip(), name)


def _by_first_letter(text: str, name: str) -> FileKind:
    first = text[:1]
    if first == "{":
        return "json_lines"
    if first == "[":
        raise unknown_format(f"{name} is a JSON list", "write one object a line, without the brackets (JSON Lines)")
    if first == "<":
        raise unknown_format(f"{name} is XML, which starts with {shown(text[:8])}")
    if not first:
        raise empty(f"{name} holds white space alone")
    return "csv"
