"""Good files: the cleaned program is the same program, and nothing but the program."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.pt2 import clean
from engine.pt2.load import load
from tests.engine import exported, tampering


def _write(folder: Path, data: bytes) -> Path:
    path = folder / "uploaded.pt2"
    path.write_bytes(data)
    return path


def _run(program: torch.export.ExportedProgram, sample: exported.Sample) -> list[Any]:
    torch.manual_seed(0)
    return torch.utils._pytree.tree_leaves(program.module()(*sample.args, **(sample.kwargs or {})))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one.nan_to_num(), other.nan_to_num())
    return bool(one == other)


@pytest.mark.parametrize("name", exported.SAMPLES)
def test_a_cleaned_model_is_the_same_model(name: str, tmp_path: Path) -> None:
    source = _write(tmp_path, exported.saved(name))
    trusted = torch.export.load(source)
    loaded = load(source, tmp_path)

    assert all(map(_same, _run(trusted, exported.sample(name)), _run(loaded, exported.sample(name))))
    assert str(loaded.graph) == str(trusted.graph)
    assert [n.meta.get("nn_module_stack") for n in loaded.graph.nodes] == [
        n.meta.get("nn_module_stack") for n in trusted.graph.nodes
    ]
    assert str(loaded.range_constraints) == str(trusted.range_constraints)
    for kind in ("state_dict", "constants"):
        mine, theirs = getattr(loaded, kind), getattr(trusted, kind)
        assert list(mine) == list(theirs)
        assert [(type(t), t.shape, t.stride(), t.requires_grad) for t in mine.values()] == [
            (type(t), t.shape, t.stride(), t.requires_grad) for t in theirs.values()
        ]


@pytest.mark.parametrize("name", ["convolutional", "shared", "nested"])
def test_what_was_cleaned_can_be_saved_and_cleaned_again(name: str, tmp_path: Path) -> None:
    first = load(_write(tmp_path, exported.saved(name)), tmp_path)
    torch.export.save(first, tmp_path / "again.pt2")
    again = load(tmp_path / "again.pt2", tmp_path)
    assert all(map(_same, _run(first, exported.sample(name)), _run(again, exported.sample(name))))


def test_other_ways_to_export_are_read_too(tmp_path: Path) -> None:
    sample = exported.sample("convolutional")
    strict = torch.export.export(sample.module, sample.args, dynamic_shapes=sample.dynamic, strict=True)
    for program in (strict, strict.run_decompositions()):
        torch.export.save(program, tmp_path / "model.pt2")
        assert _same(_run(load(tmp_path / "model.pt2", tmp_path), sample)[0], _run(program, sample)[0])


def test_a_model_that_was_trained_as_an_export_is_read(tmp_path: Path) -> None:
    sample = exported.sample("convolutional in training")
    program = exported.export(sample)
    module = program.module()
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    module(*sample.args).square().sum().backward()
    optimizer.step()
    torch.export.save(torch.export.export(module, sample.args, dynamic_shapes=sample.dynamic), tmp_path / "model.pt2")
    loaded = load(tmp_path / "model.pt2", tmp_path)
    assert torch.equal(loaded.state_dict["conv.weight"], module.get_parameter("conv.weight"))


def test_derived_dimensions_are_read(tmp_path: Path) -> None:
    class Doubling(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x.repeat(2, 1) + y

    batch = torch.export.Dim("batch")
    args = (torch.ones(3, 2), torch.ones(6, 2))
    program = torch.export.export(Doubling(), args, dynamic_shapes=({0: batch}, {0: 2 * batch}))
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = load(tmp_path / "model.pt2", tmp_path)
    assert loaded.module()(torch.ones(5, 2), torch.ones(10, 2)).shape == (10, 2)
    assert str(loaded.range_constraints) == str(program.range_constraints)


def test_the_clean_file_holds_no_pickle_no_paths_and_no_source(tmp_path: Path) -> None:
    source = _write(tmp_path, exported.saved("attention"))
    before = tampering.read_members(source.read_bytes())
    assert b"stack_trace" in before[tampering.PROGRAM] and before[tampering.SAMPLE_INPUTS]
    clean(source, tmp_path / "clean.pt2")
    after = tampering.read_members((tmp_path / "clean.pt2").read_bytes())
    assert after[tampering.SAMPLE_INPUTS] == b""
    assert b"stack_trace" not in after[tampering.PROGRAM] and b'"guards_code": []' in after[tampering.PROGRAM]
    assert not any(b"\x80\x02" in data for name, data in after.items() if not name.startswith("data/weights/weight_"))


def test_the_devices_of_a_model_become_the_cpu(tmp_path: Path) -> None:
    members = tampering.read_members(exported.saved("attention"))
    for name in (tampering.PROGRAM, tampering.WEIGHTS, tampering.CONSTANTS):
        members[name] = members[name].replace(b'{"type": "cpu", "index": null}', b'{"type": "cuda", "index": 3}')
    assert b"cuda" in members[tampering.PROGRAM]
    tampering.write_members(tmp_path / "cuda.pt2", members)
    loaded = load(tmp_path / "cuda.pt2", tmp_path)
    assert {tensor.device.type for tensor in loaded.state_dict.values()} == {"cpu"}
    assert _run(loaded, exported.sample("attention"))


_SCARCE = """
import resource, sys
import os
import subprocess
import sys
from pathlib import Path
from engine.pt2 import clean
from engine.pt2.load import load

source, folder = Path(sys.argv[1]), Path(sys.argv[2])
used = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used + (32 << 20),) * 2)
clean(source, folder / "clean.pt2")
try:
    load(source, folder)
except (MemoryError, RuntimeError) as error:
    print(type(error).__name__, "cleaned" if (folder / "clean.pt2").exists() else "")
"""


def test_cleaning_takes_little_memory_and_a_shortage_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    layer = torch.nn.Linear(64, 1 << 18)
    torch.export.save(torch.export.export(layer, (torch.ones(2, 64),)), tmp_path / "large.pt2")
    command = [sys.executable, "-c", _SCARCE, str(tmp_path / "large.pt2"), str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.stdout.split() in (["RuntimeError", "cleaned"], ["MemoryError", "cleaned"]), done.stderr


def test_the_caller_s_file_is_left_alone_and_scratch_is_left_empty(tmp_path: Path) -> None:
    source = _write(tmp_path, exported.saved("linear"))
    (tmp_path / "scratch").mkdir()
    load(source, tmp_path / "scratch")
    assert source.read_bytes() == exported.saved("linear")
    assert not list((tmp_path / "scratch").iterdir())
