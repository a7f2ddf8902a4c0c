"""Files of weights as torch and safetensors write them, and as nobody should write them."""

import argparse
import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from engine.weights import WeightLimits, read_tensors
from pith.errors import PithError
from tests.engine.tampering import read_members, write_members
from tests.engine.tiny import Cnn, built

STATE = dict(built(Cnn).state_dict())


def _saved(value: Any, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def _same(found: dict[str, Tensor], wanted: dict[str, Tensor] = STATE) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name


GOOD: dict[str, Callable[[], bytes]] = {
    "zip": lambda: _saved(STATE),
    "the older form": lambda: _saved(STATE, zipped=False),
    "an ordered dict with metadata": lambda: _saved(built(Cnn).state_dict()),
    "parameters": lambda: _saved(dict(built(Cnn).state_dict(keep_vars=True))),
    "safetensors": lambda: save_safetensors(STATE),
    "wrapped": lambda: _saved({"epoch": 3, "state_dict": STATE, "best": 0.9}),
    "wrapped twice": lambda: _saved({"model": {"state_dict": STATE}}),
    "wrapped in a name of its own": lambda: _saved({"my_net": STATE, "lr": 0.1}),
    "with an optimizer": lambda: _saved({"model": STATE, "optimizer": _optimizer()}),
    "with arguments": lambda: _saved({"args": argparse.Namespace(lr=0.1), "model": STATE}),
    "with numpy's numbers": lambda: _saved({"accuracy": numpy.float64(0.5), "model": STATE}),
    "with a set and a path": lambda: _saved({"seen": {1, 2}, "where": Path("x"), "model": STATE}),
    "in the older form, wrapped": lambda: _saved({"state_dict": STATE, "acc": 1}, zipped=False),
    "newer pickle": lambda: _protocol(4),
}


def _optimizer() -> dict[str, Any]:
    net = built(Cnn)
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.zeros(2, 1, 8, 8)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def _protocol(number: int) -> bytes:
    buffer = io.BytesIO()
    torch.save(STATE, buffer, pickle_protocol=number)
    return buffer.getvalue()


@pytest.mark.parametrize("name", GOOD)
def test_weights_are_read_bit_for_bit(name: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.dat"
    path.write_bytes(GOOD[name]())
    _same(read_tensors(path).tensors)


def test_the_wrapper_is_said(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(_saved({"model": {"state_dict": {**STATE, "note": "text"}}}))
    notes = " ".join(read_tensors(path).notes)
    assert "under model.state_dict" in notes and "note" in notes


def test_views_and_tied_weights(tmp_path: Path) -> None:
    base = torch.arange(64.0).reshape(8, 8)
    state = {"whole": base, "turned": base.t(), "row": base[3], "tied": base, "none": torch.empty(0, 3)}
    for zipped in (True, False):
        (tmp_path / "weights.pt").write_bytes(_saved(state, zipped))
        _same(read_tensors(tmp_path / "weights.pt").tensors, state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool, torch.uint8])
def test_types_are_kept(dtype: torch.dtype, tmp_path: Path) -> None:
    state = {"a": torch.tensor([0, 1, 1]).to(dtype)}
    for data in (_saved(state), _saved(state, zipped=False), save_safetensors(state)):
        (tmp_path / "weights").write_bytes(data)
        _same(read_tensors(tmp_path / "weights").tensors, state)


def test_writing_to_the_tensors_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(_saved(STATE))
    before = path.read_bytes()
    for tensor in read_tensors(path).tensors.values():
        tensor.zero_()
    assert path.read_bytes() == before


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


class _Evaluated(_Touch):
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"open({str(self.path)!r}, 'w').close()",)


class _ByAttribute(_Touch):
    """The call hides behind a harmless-looking class and its state."""

    def __reduce__(self) -> tuple[Any, ...]:
        return argparse.Namespace, (), {"x": _Touch(self.path)}


CODE: dict[str, Callable[[Path], bytes]] = {
    "in a zip": lambda canary: _saved({"a": STATE, "b": _Touch(canary)}),
    "in the older form": lambda canary: _saved(_Touch(canary), zipped=False),
    "evaluated": lambda canary: _saved({"state_dict": STATE, "x": _Evaluated(canary)}),
    "in the state of something harmless": lambda canary: _saved({"model": STATE, "x": _ByAttribute(canary)}),
    "a plain pickle": lambda canary: pickle.dumps(_Touch(canary)),
    "a plain pickle of protocol 0": lambda canary: pickle.dumps(_Touch(canary), 0),
    "in place of the magic number": lambda canary: pickle.dumps(_Touch(canary), 2) + _saved(STATE, zipped=False),
}


@pytest.mark.parametrize("name", CODE)
def test_code_is_named_and_does_not_run(name: str, tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "weights.pt"
    path.write_bytes(CODE[name](canary))
    with pytest.raises(PithError) as caught:
        read_tensors(path)
    assert caught.value.code == "model_unsafe"
    assert "eval" in str(caught.value) or "system" in str(caught.value)
    assert not canary.exists()


def test_the_payload_is_real(tmp_path: Path) -> None:
    """Otherwise the test above would pass on files that do nothing."""
    canaries = {name: tmp_path / f"canary{index}" for index, name in enumerate(CODE) if _fires(name)}
    paths = [canary.with_suffix(".pt") for canary in canaries.values()]
    for path, (name, canary) in zip(paths, canaries.items(), strict=True):
        path.write_bytes(CODE[name](canary))
    fire = Path(__file__).parents[2] / "hostile/fire.py"
    readers = [word for path in paths for word in ("torch", path)]
    subprocess.run([sys.executable, "-W", "ignore", fire, *readers], check=True)
    assert [name for name, canary in canaries.items() if not canary.exists()] == []


def _fires(name: str) -> bool:
    return "plain" not in name and "magic" not in name


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_module_is_refused_with_the_way_to_export_it(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(_saved(nn.Sequential(nn.Linear(2, 2)), zipped))
    with pytest.raises(PithError, match=r"torch\.export\.save") as caught:
        read_tensors(path)
    assert caught.value.code == "model_pickled" and "torch.nn.modules" in str(caught.value)


def test_torchscript_is_refused_with_the_way_to_export_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        for name in ("m/data.pkl", "m/constants.pkl", "m/code/__torch__.py"):
            archive.writestr(name, b"x")
    with pytest.raises(PithError, match=r"TorchScript.*torch\.export\.save"):
        read_tensors(tmp_path / "model.pt")


def _expanded() -> bytes:
    return _saved({"a": torch.zeros(1).expand(10**12)})


def _claims(numel: int) -> bytes:
    """The pickle's number of numbers in the one storage, changed from 300."""
    members = read_members(_saved({"a": torch.zeros(300)}))
    members["data.pkl"] = members["data.pkl"].replace(b"M" + struct.pack("<H", 300), b"J" + struct.pack("<i", numel))
    return _written(members)


def _offset() -> bytes:
    base = torch.zeros(300)
    members = read_members(_saved({"a": base[7:]}))
    members["data.pkl"] = members["data.pkl"].replace(b"K\x07", b"K\x09")
    return _written(members)


def _written(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"top/{name}", data)
    return buffer.getvalue()


def _pickled(data: bytes) -> bytes:
    return _written({"data.pkl": data, "version": b"3\n"})


def _nested_keys() -> bytes:
    """Hashing this key would take 2**200 steps."""
    key = b")" + b"".join(b"2\x86" for _ in range(200))
    return _pickled(b"\x80\x02}" + key + b"K\x01s.")


def _copies() -> bytes:
    """A long list, turned into a torch.Size again and again."""
    items = b"](" + b"K\x01" * 100_000 + b"eq\x00"
    again = (b"ctorch\nSize\nq\x01" + items) + b"0" + b"h\x01h\x00\x85R0" * 100 + b"}."
    return _pickled(b"\x80\x02" + again)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "weights_unreadable"),
    "noise": (lambda: bytes(range(256)), "weights_unreadable"),
    "a text": (lambda: b"hello world, these are no weights", "weights_unreadable"),
    "a zip of something else": (lambda: _written({"a.txt": b"x"}), "weights_unreadable"),
    "a truncated zip": (lambda: _saved(STATE)[:-100], "weights_unreadable"),
    "the older form, truncated": (lambda: _saved(STATE, zipped=False)[:-100], "weights_unreadable"),
    "the older form, truncated in its pickle": (lambda: _saved(STATE, zipped=False)[:200], "weights_unreadable"),
    "one tensor": (lambda: _saved(torch.zeros(3)), "weights_unreadable"),
    "no tensors": (lambda: _saved({"epoch": 1}), "weights_unreadable"),
    "two state dicts": (lambda: _saved({"encoder_part": STATE, "decoder_part": STATE}), "weights_unreadable"),
    "a dict within itself": (lambda: _pickled(b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s."), "weights_unreadable"),
    "not a number": (lambda: _saved({"a": torch.tensor([1.0, float("nan")])}), "weights_unreadable"),
    "infinity": (lambda: _saved({"a": torch.tensor([1.0, float("-inf")])}), "weights_unreadable"),
    "not a number in half precision": (
        lambda: save_safetensors({"a": torch.tensor([float("nan")]).half()}),
        "weights_unreadable",
    ),
    "sparse": (lambda: _saved({"a": torch.eye(3).to_sparse()}), "weights_unreadable"),
    "quantized": (lambda: _saved({"a": _quantized()}), "weights_unreadable"),
    "complex": (lambda: _saved({"a": torch.zeros(2, dtype=torch.complex64)}), "weights_unreadable"),
    "eight-bit floats": (lambda: save_safetensors({"a": torch.zeros(2).to(torch.float8_e5m2)}), "weights_unreadable"),
    "1e12 numbers from four bytes": (_expanded, "model_too_large"),
    "more numbers than there are": (lambda: _claims(4000), "model_too_large"),
    "a few more numbers than there are": (lambda: _claims(400), "weights_unreadable"),
    "a negative number of numbers": (lambda: _claims(-300), "weights_unreadable"),
    "a view behind its storage": (_offset, "weights_unreadable"),
    "compressed members": (
        lambda: _written(read_members(_saved(STATE)), zipfile.ZIP_DEFLATED),
        "weights_unreadable",
    ),
    "a missing storage": (
        lambda: _written({k: v for k, v in read_members(_saved(STATE)).items() if k != "data/0"}),
        "weights_unreadable",
    ),
    "keys that cannot be hashed in time": (_nested_keys, "weights_unreadable"),
    "a stack that runs dry": (lambda: _pickled(b"\x80\x02tR."), "weights_unreadable"),
    "a call of a dtype": (lambda: _pickled(b"\x80\x02ctorch\nfloat32\n)R."), "weights_unreadable"),
    "the extension registry": (lambda: _pickled(b"\x80\x02\x82\x01."), "weights_unreadable"),
    "a name with an escape": (lambda: _saved({"a\x1b[2J": torch.zeros(1)}), "weights_unreadable"),
    "a giant safetensors header": (lambda: struct.pack("<Q", 1 << 40) + b"{}", "weights_unreadable"),
    "safetensors with a hole": (lambda: save_safetensors(STATE) + b"more", "weights_unreadable"),
    "safetensors of an unknown type": (
        lambda: save_safetensors({"a": torch.zeros(2)}).replace(b'"F32"', b'"F99"'),
        "weights_unreadable",
    ),
    "safetensors longer than its data": (
        lambda: save_safetensors({"a": torch.zeros(2)}).replace(b"[2]", b"[9]"),
        "weights_unreadable",
    ),
}


def _quantized() -> Tensor:
    return torch._make_per_tensor_quantized_tensor(torch.zeros(3, dtype=torch.int8), 0.1, 0)


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused(name: str, tmp_path: Path) -> None:
    make, code = BAD[name]
    (tmp_path / "weights.pt").write_bytes(make())
    with pytest.raises(PithError) as caught:
        read_tensors(tmp_path / "weights.pt")
    assert caught.value.code == code, caught.value


SMALL = WeightLimits(members=20, tensors=4, pickle=2000, total=1 << 12, header=500)
LARGE: dict[str, dict[str, Tensor]] = {
    "too many tensors": {str(index): torch.zeros(1) for index in range(5)},
    "too many members": {str(index): torch.zeros(1) for index in range(30)},
    "too many bytes": {"a": torch.zeros(2000)},
    "too long a description": {"a" * 3000: torch.zeros(1)},
}


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("safe", [True, False])
def test_limits(name: str, safe: bool, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(save_safetensors(LARGE[name]) if safe else _saved(LARGE[name]))
    with pytest.raises(PithError) as caught:
        read_tensors(tmp_path / "weights", SMALL)
    assert caught.value.code == "model_too_large"


def test_a_long_list_is_not_copied_without_end(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(_copies())
    with pytest.raises(PithError, match="unfolds to more"):
        read_tensors(tmp_path / "weights.pt")


def test_flipped_bits_are_refused_or_read(tmp_path: Path) -> None:
    """Whatever is wrong with a file, the answer is an error of the table."""
    random = numpy.random.default_rng(0)
    for data in (_saved(STATE), _saved(STATE, zipped=False), save_safetensors(STATE)):
        for _ in range(150):
            broken = bytearray(data)
            for at in random.integers(0, len(data), 3):
                broken[at] ^= 1 << int(random.integers(8))
            (tmp_path / "weights").write_bytes(broken)
            try:
                read_tensors(tmp_path / "weights")
            except PithError:
                continue


def test_members_of_an_archive_may_be_written_by_hand(tmp_path: Path) -> None:
    write_members(tmp_path / "weights.pt", read_members(_saved(OrderedDict(STATE))))
    _same(read_tensors(tmp_path / "weights.pt").tensors)
