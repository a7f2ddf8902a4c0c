"""What a file's first bytes, or the names in an archive, say: a model, a table, a text, or a page sent in its place.

Both doors ask here, so that a model at the datasets' door and a table at the models' are told where they belong.
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

HEAD: Final = 4096
LEGACY_TORCH: Final = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
TO_MODELS: Final = "send it to /v1/models (pith models upload)"
TO_DATASETS: Final = "send it to /v1/datasets (pith datasets upload)"
SEND_AGAIN: Final = "download the real file and send that"

_MOST_FIELDS: Final = 2000
_ONNX_VERSION: Final = b"\x08"  # the field that writers put first
_PACKED: Final = b"PITH\x01"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def model_file(path: Path) -> str | None:
    """What model a file is that is no archive; None where it is none, or where it might as well be something else."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    size = path.stat().st_size
    if head.startswith(LEGACY_TORCH):
        return "what torch.save wrote"
    if is_safetensors(head, size):
        return "safetensors"
    return "ONNX" if head[:1] == _ONNX_VERSION and is_onnx(path, size) else None


def model_members(names: Sequence[str]) -> str | None:
    """What model the files of an archive are together; None where they are none."""
    kept = set(names)
    tops = {name.partition("/")[0] for name in kept}
    if "serialized_exported_program.json" in kept or any(f"{top}/archive_format" in kept for top in tops):
        return "a .pt2 program"
    for top in tops:
        beside = {f"{top}/version", f"{top}/byteorder", f"{top}/data/0"}
        if f"{top}/data.pkl" in kept and beside & kept:
            return "what torch.save wrote"
    if any(PurePosixPath(name).suffix in (".onnx", ".safetensors") for name in kept):
        return "a folder with weights"
    return None


def delivered_instead(head: bytes) -> tuple[str, str] | None:
    """What came in place of the file that was meant, and what to do."""
    if head.startswith(_PACKED):
        return "a model.pith, a model that encode.entropy packed", "pith unpack gives the ONNX file that is in it"
    text = head.lstrip(_BYTE_ORDER_MARK + b" \t\r\n").lower()
    if text.startswith(b"version https://git-lfs.github.com/"):
        return "a Git LFS pointer, not the file", "run git lfs pull, and send the file"
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page, perhaps an error page", SEND_AGAIN
    if text.startswith(b"<?xml") and b"<error" in text:
        return "an error of a file store", SEND_AGAIN
    return None


def is_text(head: bytes) -> bool:
    """Whether the bytes are UTF-8 that prints; the last letter may be cut."""
    text = head.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace")
    kept = text.rstrip("\ufffd") if len(head) == HEAD else text
    return "\ufffd" not in kept and all(one.isprintable() or one in "\r\n\t" for one in kept)


def table(head: bytes) -> str | None:
    """What table a text looks like; None where it looks like none."""
    if not is_text(head):
        return None
    text = head.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "ignore")
    cut = len(head) == HEAD
    if _is_json_lines(text, cut):
        return "a table in JSON Lines"
    return "a table, CSV by its looks" if _is_csv(text, cut) else None


def _is_json_lines(text: str, cut: bool) -> bool:
    """Two whole lines or more, each an object."""
    lines = [line for line in text.splitlines() if line.strip()]
    kept = lines[:-1] if cut else lines
    try:
        return len(kept) > 1 and all(isinstance(json.loads(line), dict) for line in kept)
    except (ValueError, RecursionError):
        return False


def _is_csv(text: str, cut: bool) -> bool:
    """Whether some delimiter cuts every line into as many values, two or more; a header alone is not seen."""
    return any(_is_cut_by(delimiter, text, cut) for delimiter in ",\t;|")


def _is_cut_by(delimiter: str, text: str, cut: bool) -> bool:
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    except csv.Error:
        return False
    widths = [len(row) for row in (rows[:-1] if cut else rows)]
    return len(widths) > 1 and len(set(widths)) == 1 and widths[0] > 1


def is_safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and head[8:9] == b"{" and 2 <= length <= size - 8


def is_onnx(path: Path, size: int) -> bool:
    """Whether the top of the protocol buffer is that of an ONNX model: known fields, and a graph or operator sets."""
    at, seen = 0, set()
    with path.open("rb") as file:
        if is_text(file.read(HEAD)):
            return False
        for _ in range(_MOST_FIELDS):
            file.seek(at)
            field = _field(file.read(24))
            if field is None or field[0] not in _ONNX_FIELDS or field[1] != _ONNX_FIELDS[field[0]]:
                break
            seen.add(field[0])
            at += field[2]
            if at >= size:
                break
    return bool(seen & {7, 8}) and bool(seen & {1, 8})


# Field numbers of ModelProto and how each is written: 0 a number, 2 bytes behind their length.
_ONNX_FIELDS: Final = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}


def _field(data: bytes) -> tuple[int, int, int] | None:
    """Number, kind and whole length of the protocol buffer's field that starts here."""
    key, at = _varint(data, 0)
    value, at = _varint(data, at) if at else (0, 0)
    if not at:
        return None
    return key >> 3, key & 7, at + (value if key & 7 == 2 else 0)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends; 0 as the end when it has none."""
    value = 0
    for shift, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, at + shift + 1
    return 0, 0
