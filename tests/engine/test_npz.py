"""Datasets: what numpy writes is read as it is; everything else is refused before it costs anything."""

import io
import os
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy
import pytest

from engine.npz import NpzLimits, read_npz
from pith.errors import PithError

ARRAYS: dict[str, Any] = {
    "x_train": numpy.linspace(0, 1, 24, dtype="f4").reshape(2, 3, 4),
    "y_train": numpy.arange(6),
    "fortran": numpy.asfortranarray(numpy.arange(12.0).reshape(3, 4)),
    "flags": numpy.array([True, False]),
    "half": numpy.ones((2, 2), "f2"),
    "bytes": numpy.arange(5, dtype="u1"),
    "scalar": numpy.float32(3.5),
    "empty": numpy.zeros((0, 3), "f4"),
    "one": numpy.array([7], "i8"),
}


def _path(folder: Path, data: bytes) -> Path:
    path = folder / "data.npz"
    path.write_bytes(data)
    return path


def _saved(compressed: bool = False, **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    (numpy.savez_compressed if compressed else numpy.savez)(buffer, **arrays)
    return buffer.getvalue()


def _zipped(method: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def _npy(descr: str, shape: str, data: bytes, version: bytes = b"\x01\x00", fortran: str = "False") -> bytes:
    """An npy file with a header of our making."""
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    width = "<H" if version == b"\x01\x00" else "<I"
    text += " " * (-(6 + 2 + struct.calcsize(width) + len(text) + 1) % 64) + "\n"
    return b"\x93NUMPY" + version + struct.pack(width, len(text)) + text.encode("latin-1") + data


def _refusal(folder: Path, data: bytes, limits: NpzLimits = NpzLimits()) -> PithError:
    with pytest.raises(PithError) as caught:
        read_npz(_path(folder, data), limits)
    return caught.value


@pytest.mark.parametrize("compressed", [False, True])
def test_what_numpy_writes_is_read_as_it_is(compressed: bool, tmp_path: Path) -> None:
    arrays = read_npz(_path(tmp_path, _saved(compressed, **ARRAYS)))
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and arrays[name].shape == array.shape
        assert numpy.array_equal(arrays[name], array), name
        assert not arrays[name].flags.writeable


def test_stored_arrays_are_mapped_and_not_read(tmp_path: Path) -> None:
    arrays = read_npz(_path(tmp_path, _saved(**ARRAYS)))
    assert isinstance(arrays["x_train"], numpy.memmap)
    assert arrays["fortran"].flags.f_contiguous and not arrays["fortran"].flags.c_contiguous


def test_a_dataset_far_larger_than_what_is_read(tmp_path: Path) -> None:
    """A sparse file of 64 GiB opens at once; reading it whole could not."""
    size = 1 << 36
    head = _npy("'|u1'", f"({size},)", b"")
    path = tmp_path / "large.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("x.npy", "w", force_zip64=True) as member:
        member.write(head)
    data = bytearray(path.read_bytes())
    directory, total = data.index(b"PK\x01\x02"), len(head) + size
    _stretch(path, data, directory, total)
    array = read_npz(path)["x"]
    assert array.shape == (size,) and array[-1] == 0


def _stretch(path: Path, data: bytearray, directory: int, total: int) -> None:
    """Make the one member as long as its header says, without writing it."""
    local_extra = data.index(struct.pack("<HH", 1, 16))
    data[local_extra + 4 : local_extra + 20] = struct.pack("<QQ", total, total)
    name = b"x.npy"
    entry = bytearray(data[directory : directory + 46])
    entry[20:28] = b"\xff" * 8
    entry[30:32] = struct.pack("<H", 20)
    central = bytes(entry) + name + struct.pack("<HHQQ", 1, 16, total, total)
    start = directory + (total - (directory - data.index(b"\x93NUMPY")))
    end = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(central), start)
    end += struct.pack("<4sLQL", b"PK\x06\x07", 0, start + len(central), 1)
    end += struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(central), 0xFFFFFFFF, 0)
    with path.open("r+b") as file:
        file.write(data[:directory])
        file.seek(start)
        file.write(central + end)
        file.truncate()


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("compressed", [False, True])
def test_pickled_objects_are_refused_and_not_opened(compressed: bool, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    data = _saved(compressed, x=numpy.array([_Touch(canary)], dtype=object))
    error = _refusal(tmp_path, data)
    assert error.code == "dataset_unsafe" and "'x'" in error.problem.detail
    assert not canary.exists()
    with numpy.load(tmp_path / "data.npz", allow_pickle=True) as opened:
        assert opened["x"] is not None
    assert canary.exists(), "the payload must be real"


@pytest.mark.parametrize(
    "array",
    [
        numpy.array(["text"]),
        numpy.array([b"bytes"]),
        numpy.array([1j]),
        numpy.array(["2020-01-01"], dtype="M8[D]"),
        numpy.zeros(1, [("a", "f4")]),
        numpy.zeros(1, "f4,O"),
        numpy.zeros(1, "V8"),
        numpy.zeros(1, "g"),
        numpy.zeros(1, ">i4"),
    ],
)
def test_arrays_that_are_no_numbers(array: Any, tmp_path: Path) -> None:
    error = _refusal(tmp_path, _saved(x=array))
    assert error.code in ("dataset_unreadable", "dataset_unsafe") and "'x'" in error.problem.detail


@pytest.mark.parametrize("version", [b"\x01\x00", b"\x02\x00", b"\x03\x00"])
def test_every_version_of_the_header(version: bytes, tmp_path: Path) -> None:
    data = _zipped(x=_npy("'<i2'", "(3,)", b"\1\0\2\0\3\0", version))
    assert read_npz(_path(tmp_path, data))["x"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    "member",
    [
        _npy("'<f4'", "(1000000000000,)", b"\0" * 16),
        _npy("'<f4'", "(4,)", b"\0" * 15),
        _npy("'<f4'", "(4,)", b"\0" * 17),
        _npy("'<f4'", "(9223372036854775807, 4)", b"\0" * 16),
        _npy("'<f4'", "(0,)", b"\0" * 16),
        _npy("'<f4'", "(-4,)", b"\0" * 16),
        _npy("'<f4'", "(4)", b"\0" * 16, fortran="1"),
        _npy("'<f4'", "__import__('os').system('x')", b"\0" * 16),
        _npy("'<f4'", "(" + "1, " * 40 + "4)", b"\0" * 16),
        _npy("__import__('os')", "(4,)", b"\0" * 16),
        _npy("'<f16'", "(1,)", b"\0" * 16),
        _npy("'<f4,<f4'", "(2,)", b"\0" * 16),
        _npy("'<f4'", "(4,)" + " " * 9000, b"\0" * 16),
        _npy("'<f4'", "(4,)", b"\0" * 16, version=b"\x04\x00"),
        b"\x93NUMPY",
        b"",
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
        b"not an array at all",
    ],
)
def test_headers_that_lie(member: bytes, method: int, tmp_path: Path) -> None:
    assert _refusal(tmp_path, _zipped(method, x=member)).code == "dataset_unreadable"


@pytest.mark.parametrize("name", ["a b", "1x", "../x", "x/y", "x-y", "\u00e9", "x" * 101, ""])
def test_arrays_without_a_plain_name(name: str, tmp_path: Path) -> None:
    assert _refusal(tmp_path, _zipped(**{name: _npy("'|u1'", "(1,)", b"\0")})).code == "dataset_unreadable"


def test_members_that_are_no_arrays(tmp_path: Path) -> None:
    buffer = io.BytesIO(_saved(x=numpy.ones(2)))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("readme.txt", "hello")
    assert "readme.txt" in _refusal(tmp_path, buffer.getvalue()).problem.detail


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name(tmp_path: Path) -> None:
    buffer = io.BytesIO(_saved(x=numpy.ones(2)))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("x.npy", _npy("'|u1'", "(1,)", b"\0"))
    assert _refusal(tmp_path, buffer.getvalue()).code == "dataset_unreadable"


def test_bombs_and_bounds(tmp_path: Path) -> None:
    zeros = _saved(True, x=numpy.zeros(1_000_000, "u1"))
    assert read_npz(_path(tmp_path, zeros))["x"].size == 1_000_000
    for limits, data, words in (
        (NpzLimits(ratio_from=999), zeros, "The compression ratio of x.npy"),
        (NpzLimits(ratio=10_000, unpacked_bytes=999), zeros, "The size of the deflated arrays"),
        (NpzLimits(total_bytes=99), _saved(x=numpy.ones(99)), "The size of all arrays"),
        (NpzLimits(members=1), _saved(x=numpy.ones(1), y=numpy.ones(1)), "The number of members"),
    ):
        error = _refusal(tmp_path, data, limits)
        assert error.code == "dataset_too_large" and words in error.problem.detail


def test_a_bomb_that_declares_a_small_size(tmp_path: Path) -> None:
    data = bytearray(_saved(True, x=numpy.zeros(1_000_000, "u1")))
    for at in (data.index(b"PK\x01\x02") + 24, data.index(struct.pack("<HH", 1, 16)) + 4):
        data[at : at + 4] = struct.pack("<I", 5000)
    error = _refusal(tmp_path, bytes(data))
    assert error.code == "dataset_unreadable" and "unpacks to more" in error.problem.detail


def test_a_dataset_cut_off_anywhere(tmp_path: Path) -> None:
    data = _saved(**ARRAYS)
    for length in range(0, len(data), 37):
        assert _refusal(tmp_path, data[:length]).code == "dataset_unreadable", length


def test_no_dataset_at_all(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    numpy.save(buffer, numpy.ones(3))
    for data in (b"", b"hello", buffer.getvalue()):
        assert _refusal(tmp_path, data).code == "dataset_unreadable"


@pytest.mark.parametrize("compressed", [False, True])
def test_flipped_bits_never_break_the_reader(compressed: bool, tmp_path: Path) -> None:
    data = _saved(compressed, **ARRAYS)
    for case in range(200):
        dice = random.Random(case)
        changed = bytearray(data)
        for _ in range(dice.choice([1, 4, 16])):
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
        try:
            for array in read_npz(_path(tmp_path, bytes(changed))).values():
                assert array.tobytes() is not None
        except PithError as error:
            assert error.code.startswith("dataset_"), (case, error)
