"""``.npz`` files whose arrays are pickles, or lie about what they hold."""

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.hostile.archives import zipped
from tests.hostile.case import Canary, Hostile, Payload, into

ARRAYS: list[Hostile] = []
case = into(ARRAYS, "dataset")
UNREADABLE, PICKLED, LARGE = "dataset_unreadable", ("dataset_unsafe", "dataset_pickled"), "dataset_too_large"


def good() -> dict[str, Any]:
    return {"x_train": np.zeros((8, 4), np.float32), "y_train": np.arange(8) % 2}


def npz(path: Path, **changes: Any) -> None:
    with path.open("wb") as file:
        np.savez(file, **{**good(), **changes})


def npy(header: str, body: bytes = b"", major: int = 1) -> bytes:
    text = header.encode("latin-1")
    length = struct.pack("<H" if major == 1 else "<I", len(text) + 1)
    return b"\x93NUMPY" + bytes([major, 0]) + length + text + b"\n" + body


def member(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def with_header(header: str, body: bytes = bytes(64), major: int = 1) -> Callable[[Path, Canary], None]:
    def build(path: Path, canary: Canary) -> None:
        zipped(path, {"x_train.npy": npy(header, body, major), "y_train.npy": member(np.arange(2))}, zipfile.ZIP_STORED)

    return build


def shape(descr: str, sizes: str) -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {sizes}, }}"


@case("npz: an array of objects", "data.npz", *PICKLED, unsafe="numpy")
def objects(path: Path, canary: Canary) -> None:
    npz(path, x_train=np.array([Payload(canary)], dtype=object))


@case("npz: labels that are objects", "data.npz", *PICKLED)
def object_labels(path: Path, canary: Canary) -> None:
    npz(path, y_train=np.array([Payload(canary)] * 8, dtype=object))


@case("npy: one array of objects", "data.npy", *PICKLED, "dataset_format_unknown", unsafe="numpy array")
def bare_objects(path: Path, canary: Canary) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([Payload(canary)], dtype=object))


@case("npz: an object inside a structure", "data.npz", UNREADABLE, *PICKLED)
def structured(path: Path, canary: Canary) -> None:
    npz(path, x_train=np.array([(1, Payload(canary))], dtype=[("a", "i4"), ("b", "O")]))


@case("npz: a pickle called .npy", "data.npz", UNREADABLE, *PICKLED)
def pickle_member(path: Path, canary: Canary) -> None:
    zipped(path, {"x_train.npy": pickle.dumps(Payload(canary)), "y_train.npy": member(np.arange(2))})


HEADERS = {
    "code in a header": (shape("'<f4'", "(__import__('os').getpid(),)"), UNREADABLE),
    "a shape of 2^80 numbers": (shape("'<f4'", "(1099511627776, 1099511627776)"), UNREADABLE),
    "a shape that wraps around to zero": (shape("'<f4'", "(4294967296, 4294967296)"), UNREADABLE),
    "a size below zero": (shape("'<f4'", "(-1,)"), UNREADABLE),
    "ten thousand dimensions": (shape("'<f4'", "(" + "1, " * 10_000 + ")"), UNREADABLE),
    "big-endian numbers": (shape("'>f4'", "(16,)"), UNREADABLE),
    "complex numbers": (shape("'<c8'", "(8,)"), UNREADABLE),
    "dates": (shape("'<M8[ns]'", "(8,)"), UNREADABLE),
    "an evaluated type": (shape("[('a', '|O')]", "(8,)"), UNREADABLE),
}
for _what, (_header, _code) in HEADERS.items():
    case(f"npz: {_what}", "data.npz", _code, LARGE, *PICKLED)(with_header(_header))


@case("npz: a header of four gigabytes", "data.npz", UNREADABLE)
def long_header(path: Path, canary: Canary) -> None:
    data = b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{'descr': '<f4'"
    zipped(path, {"x_train.npy": data, "y_train.npy": member(np.arange(2))}, zipfile.ZIP_STORED)


@case("npz: a member above its folder", "data.npz", UNREADABLE, "archive_unsafe")
def traversal(path: Path, canary: Canary) -> None:
    zipped(path, {"../x_train.npy": member(np.zeros(4)), "y_train.npy": member(np.arange(2))})


@case("npz: 400 MB of zeros, deflated", "data.npz", LARGE, words="ratio")
def bomb(path: Path, canary: Canary) -> None:
    size = 400 << 20
    header = npy(shape("'|i1'", f"({size},)"))
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("x_train.npy", "w") as member,
    ):
        member.write(header)
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))


@case("npz: more arrays than there can be", "data.npz", LARGE)
def many(path: Path, canary: Canary) -> None:
    zipped(path, {f"x{index}.npy": member(np.zeros(1)) for index in range(300)})


@case("npz: fewer labels than samples", "data.npz", UNREADABLE, "dataset_mismatch", "dataset_schema_mismatch")
def fewer(path: Path, canary: Canary) -> None:
    npz(path, y_train=np.arange(3))


@case("npz: not a number among the values", "data.npz", UNREADABLE, "dataset_sample_unreadable", "dataset_mismatch")
def not_finite(path: Path, canary: Canary) -> None:
    npz(path, x_train=np.full((8, 4), np.nan, np.float32))


@case("npz: half a file", "data.npz", UNREADABLE)
def half(path: Path, canary: Canary) -> None:
    npz(path)
    path.write_bytes(path.read_bytes()[:-50])
