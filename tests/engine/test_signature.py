"""What goes in and comes out: any number of tensors, their names, their dynamic dimensions."""

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from engine.export import write_onnx, write_pt2
from engine.lift import lift
from engine.model import Model, read_model
from engine.session import open_session, run_session
from tests.engine.tiny import Tokens, TwoHeads, lifted


class _Many(nn.Module):
    """Positional, keyword, contained and absent arguments; a dict with a list and a None."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(
        self, ids: Tensor, extra: Tensor | None = None, double: bool = True, *, parts: dict[str, Tensor], input: Tensor
    ) -> dict[str, Any]:
        x = self.layer(parts["left"] + parts["right"]) * (2 if double else 1) + input
        return {"logits": x, "cache": None, "rest": [x.sum(1), (ids, x.relu())]}


def _many() -> Model:
    torch.manual_seed(0)
    rows = {0: Dim.AUTO}
    program = torch.export.export(
        _Many(),
        (torch.ones(2, dtype=torch.int64), None, True),
        {"parts": {"left": torch.randn(2, 4), "right": torch.randn(2, 4)}, "input": torch.randn(2, 3)},
        dynamic_shapes={
            "ids": rows,
            "extra": None,
            "double": None,
            "parts": {"left": rows, "right": rows},
            "input": rows,
        },
    )
    return Model(*lift(program))


def test_inputs_are_positional_in_their_order_and_named_after_their_arguments() -> None:
    model = _many()
    assert [spec.name for spec in model.signature.inputs] == ["ids", "parts_left", "parts_right", "input"]
    left, right, bias = torch.randn(5, 4), torch.randn(5, 4), torch.randn(5, 3)
    outputs = model.run((torch.arange(5), left, right, bias))
    layer = model.graph.get_submodule("layer")
    assert torch.equal(outputs[0], layer(left + right) * 2 + bias), "the flag is part of the graph"


def test_outputs_are_flat_and_named_by_the_keys_above_them() -> None:
    model = _many()
    assert [spec.name for spec in model.signature.outputs] == ["logits", "rest_0", "rest_1_0", "rest_1_1"]
    assert [spec.shape for spec in model.signature.outputs] == [(None, 3), (None,), (None,), (None, 3)]
    assert len(model.run(model.signature.tensors(3))) == 4


@pytest.mark.parametrize("make", [_many, lambda: lifted(TwoHeads), lambda: lifted(Tokens)])
def test_names_order_and_dynamic_sizes_survive_a_file(make: Any, tmp_path: Path) -> None:
    model = make()
    write_pt2(model, tmp_path / "model.pt2")
    again = read_model(tmp_path / "model.pt2", tmp_path)
    assert again.signature == model.signature
    inputs = model.signature.tensors(7)
    assert all(torch.equal(mine, other) for mine, other in zip(model.run(inputs), again.run(inputs), strict=True))


@pytest.mark.parametrize("make", [_many, lambda: lifted(TwoHeads), lambda: lifted(Tokens)])
def test_the_onnx_file_has_these_names_and_gives_the_same(make: Any, tmp_path: Path) -> None:
    model = make()
    write_onnx(model, tmp_path / "model.onnx")
    proto = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(proto, full_check=True)
    inputs = [spec.name for spec in model.signature.inputs]
    assert [value.name for value in proto.graph.input] == (inputs if len(inputs) > 1 else ["input"])
    assert [value.name for value in proto.graph.output] == [spec.name for spec in model.signature.outputs]
    for value in (*proto.graph.input, *proto.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    given = model.signature.tensors(5)
    there = run_session(open_session(tmp_path / "model.onnx", 1), tuple(each.numpy() for each in given))
    for mine, other in zip(model.run(given), there, strict=True):
        assert torch.allclose(mine, torch.from_numpy(other), atol=1e-5)


def test_a_sequence_stays_dynamic_when_it_is_exported_again() -> None:
    model = lifted(Tokens)
    assert model.signature.inputs[0].shape == (None, None)
    module = model.program().module()
    for size in (2, 9, 33):
        assert module(torch.ones(3, size, dtype=torch.int64), torch.ones(3, size, dtype=torch.int64)).shape == (3, 4)


def test_a_mask_of_ones_and_noise_that_does_not_change() -> None:
    model = lifted(Tokens)
    ids, mask = model.signature.tensors(3)
    assert ids.shape == mask.shape == (3, 6) and bool((mask == 1).all())
    noise = _many().signature.tensors(3)
    assert not torch.equal(noise[1], noise[2]), "two inputs do not get the same noise"
    assert torch.equal(noise[1], _many().signature.tensors(3)[1])


class _Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x + 1, x * 2


def test_outputs_without_names_are_numbered_and_stay_a_tuple() -> None:
    program = torch.export.export(_Pair(), (torch.randn(2, 3),), dynamic_shapes=({0: Dim.AUTO},))
    model = Model(*lift(program))
    assert [spec.name for spec in model.signature.outputs] == ["output", "output_1"]
    assert isinstance(model.program().module()(torch.randn(4, 3)), tuple)


class _Clash(nn.Module):
    def forward(self, x: Tensor, output: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return x + output, {"x": x * output, "a b": x - output}


def test_names_that_clash_or_are_no_names_are_mended() -> None:
    program = torch.export.export(_Clash(), (torch.randn(2, 3),) * 2, dynamic_shapes=({0: Dim.AUTO},) * 2)
    _, signature = lift(program)
    assert [spec.name for spec in signature.inputs] == ["x", "output"]
    assert [spec.name for spec in signature.outputs] == ["output_1", "x_1", "a_b"]
