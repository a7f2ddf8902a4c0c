"""Datasets: an untrusted ``.npz`` as plain arrays of numbers. Stored members are mapped, not read.

Not covered: object, text, complex, structured and big-endian arrays, which are refused; checksums of stored members,
since whoever stored the file has its digest.
"""

import math
import re
import struct
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy

from engine.zip_index import DEFLATED, Member, ZipFault, read_chunks, read_index
from pith.errors import PithError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\.npy")
_NUMBER = re.compile(r"\|b1|[<|](?:[iu][1248]|f[248])")
_HEADER = re.compile(
    r"\{'descr': (?P<descr>.{1,2000}), 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>(?:\d{1,18}(?:, ?\d{1,18})*,?)?)\),? ?\}\s*"
)
_MAX_HEADER = 8192
_MAX_DIMENSIONS = 32


class NpzLimits(NamedTuple):
    """Bounds on what is opened, in bytes. Deflated members are read into memory and may unpack to less.

    ``ratio`` is the most that a deflated member of more than ``ratio_from`` bytes may have been packed.
    """

    members: int = 256
    total_bytes: int = 1 << 40
    unpacked_bytes: int = 8 << 30
    ratio: int = 200
    ratio_from: int = 256 << 20


class _Header(NamedTuple):
    dtype: numpy.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    length: int


def read_npz(path: Path, limits: NpzLimits = NpzLimits()) -> dict[str, numpy.ndarray[Any, Any]]:
    """Every array of the file by its name, read-only.

    Raises:
        PithError: ``dataset_unreadable``, ``dataset_unsafe`` or ``dataset_too_large``.
    """
    try:
        with path.open("rb") as file:
            members = read_index(file, limits.members)
            _check_sizes(members, limits)
            return {name.removesuffix(".npy"): _array(path, file, member) for name, member in members.items()}
    except ZipFault as fault:
        _refuse(fault)


def _refuse(fault: ZipFault) -> NoReturn:
    if fault.kind == "too_large":
        raise PithError("dataset_too_large", what=fault.reason, value=fault.value, limit=fault.limit) from fault
    raise PithError("dataset_unreadable", reason=fault.reason) from fault


def _check_sizes(members: dict[str, Member], limits: NpzLimits) -> None:
    total = sum(member.size for member in members.values())
    unpacked = sum(member.size for member in members.values() if member.method == DEFLATED)
    _at_most("The size of all arrays", total, limits.total_bytes)
    _at_most("The size of the deflated arrays", unpacked, limits.unpacked_bytes)
    for name, member in members.items():
        if not _NAME.fullmatch(name):
            raise PithError("dataset_unreadable", reason=f"{name!r} is no array with a plain name")
        if member.size > limits.ratio_from:
            _at_most(f"The compression ratio of {name}", member.size // max(member.packed, 1), limits.ratio)


def _at_most(what: str, value: int, limit: int) -> None:
    if value > limit:
        raise PithError("dataset_too_large", what=what, value=value, limit=limit)


def _array(path: Path, file: BinaryIO, member: Member) -> numpy.ndarray[Any, Any]:
    if member.method == DEFLATED:
        return _inflated(file, member)
    file.seek(member.start)
    header = _header(member, file.read(min(member.size, _MAX_HEADER)))
    if not math.prod(header.shape):
        return _frozen(numpy.zeros(header.shape, header.dtype))
    order = "F" if header.fortran else "C"
    return numpy.memmap(path, header.dtype, "r", member.start + header.length, header.shape, order)  # type: ignore[call-overload,no-any-return]


def _inflated(file: BinaryIO, member: Member) -> numpy.ndarray[Any, Any]:
    data = b"".join(read_chunks(file, member))
    header = _header(member, data[:_MAX_HEADER])
    flat = numpy.frombuffer(data, header.dtype, math.prod(header.shape), header.length)
    return _frozen(flat.reshape(header.shape, order="F" if header.fortran else "C"))


def _frozen(array: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
    array.flags.writeable = False
    return array


def _header(member: Member, start: bytes) -> _Header:
    """The npy header, by the form in which numpy writes it and no other."""
    name = member.name.removesuffix(".npy")
    text, length = _header_text(name, start)
    found = _HEADER.fullmatch(text)
    if found is None:
        raise PithError("dataset_unreadable", reason=f"the header of {name!r} is not numpy's")
    dtype = _dtype(name, found["descr"])
    shape = tuple(int(part) for part in re.findall(r"\d+", found["shape"]))
    if len(shape) > _MAX_DIMENSIONS or math.prod(shape) * dtype.itemsize != member.size - length:
        raise PithError(
            "dataset_unreadable",
            reason=f"{name!r} says {dtype} of shape {list(shape)}, and holds {member.size - length} bytes",
        )
    return _Header(dtype, shape, found["fortran"] == "True", length)


def _header_text(name: str, start: bytes) -> tuple[str, int]:
    magic, major, width = start[:6], start[6:7], 2 if start[6:8] == b"\x01\x00" else 4
    if magic != b"\x93NUMPY" or major not in (b"\x01", b"\x02", b"\x03") or len(start) < 8 + width:
        raise PithError("dataset_unreadable", reason=f"{name!r} is no npy array")
    (size,) = struct.unpack("<H" if width == 2 else "<I", start[8 : 8 + width])
    text = start[8 + width : 8 + width + size]
    if len(text) < size:
        raise PithError("dataset_unreadable", reason=f"the header of {name!r} is longer than {_MAX_HEADER} bytes")
    return text.decode("latin-1"), 8 + width + size


def _dtype(name: str, descr: str) -> numpy.dtype[Any]:
    code = descr.strip("'")
    if "O" in code and "[" not in code:
        raise PithError("dataset_unsafe", array=name)
    if not _NUMBER.fullmatch(code):
        raise PithError("dataset_unreadable", reason=f"{name!r} has the type {descr[:60]!a}; save plain numbers")
    return numpy.dtype(code)
