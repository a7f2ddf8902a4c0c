"""Archives that are damaged, are something else, or are built to be read in two ways."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.pt2 import Limits, clean
from pith.errors import PithError
from tests.engine import exploits, exported, tampering


@pytest.fixture(scope="module")
def good() -> bytes:
    return exported.saved("linear")


@pytest.fixture(scope="module")
def members(good: bytes) -> tampering.Members:
    return tampering.read_members(good)


def _refusal(data: bytes, folder: Path, limits: Limits = Limits()) -> PithError:
    source, target = folder / "uploaded.pt2", folder / "clean.pt2"
    source.write_bytes(data)
    with pytest.raises(PithError) as caught:
        clean(source, target, limits)
    assert sorted(path.name for path in folder.iterdir()) == ["uploaded.pt2"]
    return caught.value


def _zipped(members: dict[str, bytes], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _topped(members: tampering.Members) -> dict[str, bytes]:
    return {f"top/{name}": data for name, data in members.items()}


def test_a_zip_by_another_writer_is_taken(members: tampering.Members, tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes(_zipped(_topped(members)))
    clean(tmp_path / "model.pt2", tmp_path / "clean.pt2")
    assert tampering.read_members((tmp_path / "clean.pt2").read_bytes())[tampering.PROGRAM]


@pytest.mark.parametrize("data", [b"", b"P", b"hello world", b"\x89PNG\r\n\x1a\n" * 9, b"x" + b"PK\x03\x04" * 9])
def test_what_is_no_zip(data: bytes, tmp_path: Path) -> None:
    error = _refusal(data, tmp_path)
    assert error.code == "model_not_an_archive"
    assert repr(data[:8]) in error.problem.detail


def test_a_model_cut_off_anywhere(good: bytes, tmp_path: Path) -> None:
    for length in [4, 21, 22, 30, *range(100, len(good), len(good) // 60), len(good) - 1]:
        assert _refusal(good[:length], tmp_path).code == "model_truncated", length


def test_a_model_with_something_behind_it(good: bytes, tmp_path: Path) -> None:
    assert _refusal(good + b"\0", tmp_path).code == "model_truncated"
    assert _refusal(good + good, tmp_path).code == "model_truncated"


def test_a_flipped_bit_in_a_weight(good: bytes, members: tampering.Members, tmp_path: Path) -> None:
    at = good.index(members["data/weights/weight_0"])
    broken = bytearray(good)
    broken[at] ^= 1
    error = _refusal(bytes(broken), tmp_path)
    assert error.code == "model_truncated" and "weight_0" in error.problem.detail


class _Custom:
    pass


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda file: torch.save(torch.nn.Linear(1, 1), file), "torch.nn.modules.linear.Linear"),
        (lambda file: torch.save({"w": torch.ones(2)}, file), "torch._utils._rebuild_tensor_v2"),
        (lambda file: torch.save(_Custom(), file, _use_new_zipfile_serialization=False), "test_pt2_zip._Custom"),
        (lambda file: pickle.dump(OrderedDict, file, protocol=4), "collections.OrderedDict"),
        (lambda file: pickle.dump(exploits._Touch(Path("/x")), file, protocol=0), "posix.system"),
        (lambda file: pickle.dump([1, 2], file), "of plain values"),
        (lambda file: file.write(_zipped({"m/constants.pkl": b"", "m/code/x.py": b""})), "TorchScript"),
    ],
)
def test_pickles_are_named_and_not_opened(write: Callable[[io.BytesIO], object], words: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    write(buffer)
    error = _refusal(buffer.getvalue(), tmp_path)
    assert error.code == "model_pickled"
    assert words in error.problem.detail and "torch.export.save" in error.problem.detail


def test_endless_pickles_are_looked_at_briefly(tmp_path: Path) -> None:
    assert _refusal(b"\x80\x02N." * 300_000, tmp_path).code == "model_pickled"
    assert _refusal(b"\x80\x02" + b"N" * 1_000_000, tmp_path).code == "model_pickled"


_ODD_NAMES = r"""
top/../evil top//x /top/x top/./x top\x c:/x top/aotinductor.so top/data/x top/data/aotinductor/model/x.so
top/extra/notes.txt top/data/weights/weight_0.pt top/models/ top/data/constants/custom_obj_0 top/executorch/a.pte
"""


@pytest.mark.parametrize("name", [*_ODD_NAMES.split(), "top/a\nb", "top/data/weights/weight_\u0661"])
def test_members_that_are_not_on_the_list(name: str, members: tampering.Members, tmp_path: Path) -> None:
    error = _refusal(_zipped({**_topped(members), name: b"x"}), tmp_path)
    assert error.code in ("model_unsafe", "model_malformed")
    assert error.code == "model_unsafe" or not name.startswith("top")
    if {"", ".", ".."} & set(name.split("/")):
        assert "a member with the name" in error.problem.detail


def test_several_programs_in_one_file(members: tampering.Members, tmp_path: Path) -> None:
    more = {**members, "models/other.json": members[tampering.PROGRAM]}
    assert _refusal(_zipped(_topped(more)), tmp_path).code == "model_unsupported"


@pytest.mark.parametrize("name", [tampering.PROGRAM, tampering.WEIGHTS, tampering.CONSTANTS, "archive_format"])
def test_a_member_that_is_missing(name: str, members: tampering.Members, tmp_path: Path) -> None:
    rest = {key: data for key, data in members.items() if key != name}
    error = _refusal(_zipped(_topped(rest)), tmp_path)
    assert error.code == "model_malformed" and name in error.problem.detail


@pytest.mark.parametrize(
    ("name", "data"), [("archive_format", b"so"), ("archive_version", b"1"), ("byteorder", b"big"), ("byteorder", b"")]
)
def test_another_format(name: str, data: bytes, members: tampering.Members, tmp_path: Path) -> None:
    assert _refusal(_zipped(_topped({**members, name: data})), tmp_path).code == "model_unsupported"


def test_compressed_members(members: tampering.Members, tmp_path: Path) -> None:
    error = _refusal(_zipped(_topped(members), compression=zipfile.ZIP_DEFLATED), tmp_path)
    assert error.code == "model_unsafe" and "compressed" in error.problem.detail
    assert _refusal(_zipped(_topped(members), compression=zipfile.ZIP_LZMA), tmp_path).code == "model_unsafe"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(members: tampering.Members, tmp_path: Path) -> None:
    buffer = io.BytesIO(_zipped(_topped(members)))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(f"top/{tampering.PROGRAM}", b"{}")
    error = _refusal(buffer.getvalue(), tmp_path)
    assert error.code == "model_unsafe" and "two members" in error.problem.detail


def test_members_in_two_folders(members: tampering.Members, tmp_path: Path) -> None:
    assert _refusal(_zipped({**_topped(members), "other/byteorder": b"little"}), tmp_path).code == "model_malformed"


def _central(data: bytes, name: bytes) -> int:
    """Where the central entry of a member starts."""
    at = data.index(b"PK\x01\x02")
    while data[at + 46 : at + 46 + len(name)] != name:
        at = data.index(b"PK\x01\x02", at + 4)
    return at


def _patched(data: bytes, at: int, form: str, value: int) -> bytes:
    size = struct.calcsize(form)
    return data[:at] + struct.pack(form, value) + data[at + size :]


@pytest.mark.parametrize(
    ("offset", "form", "value", "code"),
    [
        (8, "<H", 0x1, "model_unsafe"),  # encrypted
        (8, "<H", 0x40, "model_unsafe"),  # strongly encrypted
        (8, "<H", 0x20, "model_unsafe"),  # a patch
        (10, "<H", 8, "model_unsafe"),  # deflated here, stored there
        (10, "<H", 99, "model_unsafe"),  # an unknown method
        (16, "<I", 0, "model_unsafe"),  # another checksum than in the local header
        (20, "<I", 1, "model_unsafe"),  # another packed size
        (24, "<I", 1, "model_unsafe"),  # another size
        (28, "<H", 0, "model_unsafe"),  # no name
        (28, "<H", 600, "model_unsafe"),  # a name without end
        (32, "<H", 9, "model_unsafe"),  # a comment
        (34, "<H", 1, "model_unsafe"),  # another disk
        (42, "<I", 0, "model_unsafe"),  # the header of another member
        (42, "<I", 1, "model_unsafe"),  # inside another member
        (42, "<I", 0xFFFFFFF0, "model_truncated"),  # behind the end
        (0, "<I", 0, "model_truncated"),  # no entry
    ],
)
def test_a_directory_that_lies(
    offset: int, form: str, value: int, code: str, members: tampering.Members, tmp_path: Path
) -> None:
    data = _zipped(_topped(members))
    at = _central(data, b"top/data/weights/weight_1")
    assert _refusal(_patched(data, at + offset, form, value), tmp_path).code == code


def test_a_member_with_two_names(members: tampering.Members, tmp_path: Path) -> None:
    """One reader would see a weight, the other a pickle."""
    data = _zipped(_topped(members))
    local = data.index(b"top/data/weights/weight_1")
    error = _refusal(data[:local] + b"top/data/weights/model.pt" + data[local + 25 :], tmp_path)
    assert error.code == "model_unsafe" and "two headers" in error.problem.detail


def test_members_that_overlap(members: tampering.Members, tmp_path: Path) -> None:
    """Both headers of one member say that it reaches into the next."""
    data = _zipped(_topped(members))
    name = b"top/data/weights/weight_0"
    central, local = _central(data, name), data.index(name) - 30
    size = len(members["data/weights/weight_0"]) + 8
    for at in (central + 20, central + 24, local + 18, local + 22):
        data = _patched(data, at, "<I", size)
    error = _refusal(data, tmp_path)
    assert error.code == "model_unsafe" and "overlaps" in error.problem.detail


@pytest.mark.parametrize("offset", [4, 6, 8, 10, 12, 16, 20])
def test_an_end_that_lies(offset: int, members: tampering.Members, tmp_path: Path) -> None:
    data = _zipped(_topped(members))
    code = _refusal(_patched(data, len(data) - 22 + offset, "<H", 3), tmp_path).code
    assert code in ("model_unsafe", "model_truncated")


def test_two_directories_that_disagree(good: bytes, tmp_path: Path) -> None:
    """Torch writes a 64-bit directory besides the short one."""
    assert good[-42:-38] == b"PK\x06\x07"
    assert _refusal(_patched(good, len(good) - 22 + 10, "<H", 3), tmp_path).code == "model_unsafe"


def test_bounds_on_members_and_sizes(good: bytes, members: tampering.Members, tmp_path: Path) -> None:
    for limits, words in (
        (Limits(members=5), "The number of members"),
        (Limits(total=100), "The size of all members"),
        (Limits(json=100), "weights_config.json"),
    ):
        error = _refusal(good, tmp_path, limits)
        assert error.code == "model_too_large" and words in error.problem.detail
    assert _refusal(good, tmp_path, Limits(nodes=1)).code == "model_malformed"


def test_a_directory_that_is_larger_than_its_entries_can_be(members: tampering.Members, tmp_path: Path) -> None:
    data = _zipped(_topped(members))
    start = struct.unpack("<I", data[-6:-2])[0]
    count, length = 1, len(data) - 22 - start
    padding = b"\0" * 4096
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, length + len(padding), start, 0)
    error = _refusal(data[:-22] + padding + end, tmp_path)
    assert error.code == "model_truncated" and "not where it says" in error.problem.detail
