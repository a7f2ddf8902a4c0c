"""What an uploaded model is, by its content alone; what is no model that can be read is refused with the way out.

Nothing is unpacked or parsed here beyond directories and first bytes. The file's name is only used to say that it lies.
"""

import json
import re
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final, Literal, NoReturn

from engine.archives import archive_kind, entries
from engine.first_bytes import (
    HEAD,
    LEGACY_TORCH,
    SEND_AGAIN,
    TO_DATASETS,
    delivered_instead,
    is_onnx,
    is_safetensors,
    is_text,
    table,
)
from engine.pt2.pickles import pickled_archive, pickled_file
from engine.zip_index import ZipFault, read_index
from pith.errors import PithError

# "onnx_archive" is a zip or tar with one .onnx and its data files; "state_dict" is torch.save's file or safetensors.
ModelFormatFound = Literal["pt2", "state_dict", "hugging_face", "onnx", "onnx_archive"]

_MOST_MEMBERS: Final = 200_000
_TAR_OF_TORCH: Final = frozenset({"sys_info", "pickle", "tensors", "storages"})
_EXPORT: Final = "export it to ONNX, or send a .pt2, a state dict or a Hugging Face folder (see docs/guide.md)"
_PACK: Final = "pack the model's files, and send the archive again"
_UNPACK: Final = "unpack it, and send the model itself or a zip or tar of its folder"
# What a file starts with, what that is, and what to do.
_STARTS: Final[tuple[tuple[bytes, str, str], ...]] = (
    (b"\x89HDF\r\n\x1a\n", "HDF5, as Keras writes it", "convert it to ONNX with tf2onnx, and send that"),
    (b"GGUF", "GGUF, the quantized weights of llama.cpp", "send the Hugging Face folder that it was made from"),
    (b"\x93NUMPY", "one numpy array", "send a model; arrays are a dataset, which is an .npz"),
    (b"\x7fELF", "a compiled library", _EXPORT),
    (b"MZ", "a compiled library", _EXPORT),
    (b"ftrt", "a TensorRT engine, made for one graphics card", "send the ONNX file that it was made from"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a file packed with zstd", _UNPACK),
    (b"ZF", "a compressed pickle of joblib", _EXPORT),
    (b"PAR1", "Parquet", TO_DATASETS),
    (b"ARROW1", "Arrow", TO_DATASETS),
    (b"PK\x05\x06", "an empty archive", _PACK),
    (b"%PDF", "a PDF", SEND_AGAIN),
    (b"\x89PNG", "a picture", SEND_AGAIN),
    (b"\xff\xd8\xff", "a picture", SEND_AGAIN),
)
_SAMPLES: Final = frozenset({".png", ".jpg", ".jpeg", ".wav", ".flac", ".csv", ".tsv", ".jsonl", ".parquet", ".arrow"})
_EXTENSIONS: Final = re.compile(r"\.(pt2|pth?|bin|ckpt|safetensors|onnx|zip|tar|tgz|gz|h5|keras|tflite|gguf|pb|npz)$")


def detect(path: Path, name: str = "") -> ModelFormatFound:
    """Which reader the upload ``path`` is for; ``name`` is what the caller calls it.

    Raises:
        PithError: ``model_pickled`` or ``model_format_unknown``; ``archive_…`` for an archive that is damaged.
    """
    head, size = _head(path), path.stat().st_size
    if head.startswith(b"PK\x03\x04"):
        return _zip(path, name)
    if archive_kind(path) is not None:
        return _of_members(_listed(path), name)
    if is_safetensors(head, size) or head.startswith(LEGACY_TORCH):
        return "state_dict"
    if found := pickled_file(path):
        raise PithError("model_pickled", found=found)
    if is_onnx(path, size):
        return "onnx"
    for start, what, way_out in _STARTS:
        if head.startswith(start):
            _refuse(what, way_out, name)
    return _refuse(*_other(head), name)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def _zip(path: Path, name: str) -> ModelFormatFound:
    with path.open("rb") as file:
        try:
            members = read_index(file, _MOST_MEMBERS, folders=True)
        except ZipFault:
            return _damaged_zip(path)
        inner = {member.partition("/")[2] for member in members}
        if "archive_format" in inner or "serialized_exported_program.json" in members:
            return "pt2"
        if "data.pkl" in inner or "constants.pkl" in inner:
            return _torch_zip(pickled_archive(file, members.values()))
    return _of_members(members, name)


def _torch_zip(found: str | None) -> ModelFormatFound:
    if found == "TorchScript":
        raise PithError("model_pickled", found="TorchScript, which PyTorch has given up")
    return "state_dict"


def _damaged_zip(path: Path) -> ModelFormatFound:
    """Its reader knows best what is wrong; whose file it is shows in the first member's name."""
    first = _head(path)[30:].partition(b"/")[2]
    if re.match(rb"data\.pkl|constants\.pkl|data/\d", first):
        return "state_dict"
    if re.match(rb"archive_format|byteorder|models/|data/|\.data/|version|\.format", first):
        return "pt2"
    for _ in entries(path):
        """Every member is looked at, and the one that is wrong is named."""
    return "pt2"


def _listed(path: Path) -> list[str]:
    """Names in the archive, as many as decide."""
    names: list[str] = []
    for entry in islice(entries(path), _MOST_MEMBERS):
        names.append(entry.name)
        if {"config.json", "safetensors"} <= {_base(one) for one in names[:50]} | {one[-11:] for one in names[:50]}:
            break
    return names


def _of_members(members: Iterable[str], name: str) -> ModelFormatFound:
    """What the files of an archive make together."""
    names = [member for member in members if not member.endswith("/")]
    bases = {_base(member) for member in names}
    endings = [PurePosixPath(member).suffix for member in names]
    weights = {".safetensors", ".bin"} & set(endings)
    _refuse_members(bases, endings, name)
    if "config.json" in bases and (weights or ".onnx" not in endings):
        return "hugging_face"
    if endings.count(".onnx") == 1:
        return "onnx_archive"
    if ".onnx" in endings:
        _refuse(f"an archive with {endings.count('.onnx')} .onnx files", "send one model at a time", name)
    for ending in (".pt2", ".pth", ".pt", ".safetensors", ".ckpt"):
        if ending in endings:
            inside = next(member for member in names if member.endswith(ending))
            _refuse(f"an archive with {inside[:80]!r} inside", "send that file itself", name)
    if not names:
        _refuse("an empty archive", _PACK, name)
    shown = ascii(", ".join(sorted(bases)[:3])[:120])[1:-1]
    what = f"an archive with {shown} inside, and neither config.json nor a .onnx file"
    return _refuse(what, TO_DATASETS if _SAMPLES & set(endings) else _EXPORT, name)


def _refuse_members(bases: set[str], endings: list[str], name: str) -> None:
    if "model.weights.h5" in bases or ("keras_metadata.pb" in bases):
        _refuse("a Keras model", "convert it to ONNX with tf2onnx, and send that", name)
    if "saved_model.pb" in bases:
        _refuse("a SavedModel of TensorFlow", "convert it to ONNX with tf2onnx, and send that", name)
    if endings and set(endings) == {".npy"}:
        _refuse("an .npz of numpy arrays", f"{TO_DATASETS}, or send weights as safetensors", name)
    if bases >= _TAR_OF_TORCH:
        _refuse("the tar of PyTorch 0.1", "load it there and save it again with torch.save of PyTorch 2", name)
    if "Manifest.json" in bases and ".mlmodel" in endings:
        _refuse("a Core ML package", _EXPORT, name)


def _base(member: str) -> str:
    return PurePosixPath(member).name


def _other(head: bytes) -> tuple[str, str]:
    """What remains: texts, and bytes that say nothing."""
    if not head.strip():
        return ("nothing" if not head else "white space alone"), "send the file again"
    if instead := delivered_instead(head):
        return instead
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for test, what, way_out in _TEXTS:
        if test(text):
            return what, way_out
    if found := table(head):
        return found, TO_DATASETS
    if _is_json(text):
        return "JSON", _EXPORT
    if is_text(head):
        return "plain text", _EXPORT
    if head[4:8] == b"TFL3":
        return "TensorFlow Lite", "send the model that it was converted from, as ONNX"
    if head[:3] == b"\x08\x01\x12":
        return "a SavedModel of TensorFlow", "convert it to ONNX with tf2onnx, and send that"
    if head[0] == 0x78 and int.from_bytes(head[:2], "big") % 31 == 0:  # RFC 1950
        return "a compressed pickle, as joblib writes it", _EXPORT
    if not head.strip(b"\0"):
        return "zeros alone", SEND_AGAIN
    return f"bytes of an unknown kind (it starts with {head[:8]!r})", _EXPORT


_TEXTS: Final[tuple[tuple[Callable[[bytes], bool], str, str], ...]] = (
    (lambda text: text.startswith((b"<?xml", b"<net")), "XML, perhaps of OpenVINO", "send the ONNX file instead"),
    (lambda text: text.startswith((b"import ", b"from ", b"#!", b"class ", b"def ")), "a program's source", _EXPORT),
)


def _is_json(text: bytes) -> bool:
    if not text.startswith((b"{", b"[")):
        return False
    try:
        json.loads(text[:200].decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return text[1:].lstrip()[:1] in b'"{[]}0123456789'
    return True


def _refuse(what: str, way_out: str, name: str) -> NoReturn:
    called = _EXTENSIONS.search(name.lower())
    found = f"it is called {ascii(name[-60:])[1:-1]} and holds {what}" if called else f"it holds {what}"
    raise PithError("model_format_unknown", found=found, way_out=way_out)
