"""What each layer of an ONNX file holds: its own numbers under its own name, however they are stored."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto
from torch import nn

from engine.export import write_onnx
from engine.model import Model
from engine.onnx_model.holdings import Holding, Part, holdings
from engine.onnx_model.weights import parameters
from tests.engine import onnx_files as files
from tests.engine.conformance import applied
from tests.engine.tiny import Cnn, Mlp, Tokens, Transformer, lifted

ROWS = np.arange(-6, 6, dtype=np.int8).reshape(4, 3)
SCALES = np.array([0.5, 1, 2, 4], np.float32)
REAL = ROWS * SCALES[:, None]


def of(proto: ModelProto) -> dict[str, Holding]:
    found = holdings(proto.graph)
    assert len({each.name for each in found}) == len(found)
    taken = [part.tensor.name for each in found for part in each.parts.values()]
    assert sorted(taken) == sorted(parameters(proto.graph)), "every parameter belongs to one layer"
    return {each.name: each for each in found}


def one(nodes: list[Any], weights: list[TensorProto], width: int = 3) -> Holding:
    made = files.graph(nodes, [files.value("x", ("batch", width))], [files.value("y")], weights)
    (found,) = of(files.model(made)).values()
    return found


def same(part: Part, wanted: Any) -> bool:
    real = part.real()
    return real is not None and np.array_equal(real, wanted)


def written(net: type[nn.Module], folder: Path) -> ModelProto:
    write_onnx(lifted(net), folder / "model.onnx")
    return onnx.load(folder / "model.onnx")


@pytest.mark.parametrize("net", [Cnn, Mlp, Transformer, Tokens])
def test_layers_have_their_dotted_names_and_the_numbers_of_their_modules(net: type[nn.Module], tmp_path: Path) -> None:
    model = lifted(net)
    found = of(written(net, tmp_path))
    for name, layer in model.layers():
        weight, bias = found[name].parts["weight"], found[name].parts.get("bias")
        assert found[name].kind == type(layer).__name__ and weight.shape == tuple(layer.weight.shape)
        assert bias is None if len(layer.weight) == 1 else bias is not None and bias.shape == (len(layer.weight),)
        if name not in ("stem.0", "block.0"):  # a batch norm is folded into these
            assert same(weight, layer.weight.detach().numpy())
    kinds = {each.kind for each in found.values()}
    assert ("Embedding" in kinds) is (net is Tokens) and ("LayerNorm" in kinds) is (net is Transformer)


def test_numbers_of_a_plain_matrix() -> None:
    found = one(
        [files.node("Gemm", ["x", "a.weight", "a.bias"], ["y"], transB=1)],
        [files.weight("a.weight", REAL), files.weight("a.bias", SCALES)],
    )
    weight = found.parts["weight"]
    assert (found.name, found.kind, found.output, weight.plain, weight.bits()) == ("a", "Linear", "y", True, 32.0)
    assert (weight.numbers, weight.nonzero(), weight.size_bytes(), weight.shape) == (12, 11, 48, (4, 3))
    assert same(weight, REAL)


def test_the_outputs_of_a_matrix_come_first_and_its_bias_is_its_own() -> None:
    nodes = [files.node("MatMul", ["x", "onnx::MatMul_7"], ["m"]), files.node("Add", ["a.bias", "m"], ["y"])]
    turned = np.ascontiguousarray(REAL.T)
    found = one(nodes, [files.weight("onnx::MatMul_7", turned), files.weight("a.bias", SCALES)])
    assert (found.name, found.output) == ("a", "y"), "numbered weights are called after the bias"
    assert found.parts["weight"].shape == (4, 3) and same(found.parts["weight"], REAL)


def test_a_sum_with_something_else_is_no_bias() -> None:
    nodes = [files.node("MatMul", ["x", "w"], ["m"]), files.node("Add", ["m", "p"], ["y"])]
    made = files.graph(
        nodes,
        [files.value("x", ("batch", 3))],
        [files.value("y")],
        [files.weight("w", REAL.T.copy()), files.weight("p", SCALES[None])],
    )
    found = of(files.model(made))
    assert found["w"].output == "m" and found["p"].kind == "Parameter" and found["p"].output == ""


def test_integers_with_scales_stand_for_what_they_are_multiplied_to() -> None:
    nodes = [
        files.node("DequantizeLinear", ["a.weight_quantized", "s", "z"], ["w"], axis=0),
        files.node("Gemm", ["x", "w"], ["y"], transB=1),
    ]
    weights = [
        files.weight("a.weight_quantized", ROWS),
        files.weight("s", SCALES),
        files.weight("z", np.zeros(4, np.int8)),
    ]
    found = one(nodes, weights)
    weight = found.parts["weight"]
    assert same(weight, REAL) and not weight.plain
    assert (found.name, weight.bits(), weight.nonzero(), weight.size_bytes()) == ("a", 8.0, 11, 12 + 16 + 4)


def test_products_of_integers_are_followed_to_where_they_are_scaled() -> None:
    nodes = [
        files.node("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"]),
        files.node("Mul", ["xs", "a.weight_scale"], ["s"]),
        files.node("MatMulInteger", ["xq", "a.weight_quantized", "xz", "a.weight_zero_point"], ["i"]),
        files.node("Cast", ["i"], ["f"], to=1),
        files.node("Mul", ["f", "s"], ["m"]),
        files.node("Add", ["m", "a.bias"], ["y"]),
    ]
    weights = [
        files.weight("a.weight_quantized", np.ascontiguousarray(ROWS.T)),
        files.weight("a.weight_scale", SCALES),
        files.weight("a.weight_zero_point", np.zeros(4, np.int8)),
        files.weight("a.bias", SCALES),
    ]
    found = one(nodes, weights)
    assert (found.name, found.output, list(found.parts)) == ("a", "y", ["weight", "bias"])
    assert same(found.parts["weight"], REAL) and found.parts["weight"].shape == (4, 3)


def test_a_norm_that_stands_behind_its_convolution_is_part_of_what_it_gives() -> None:
    norm = [files.weight(name, np.linspace(0.5, 1.5, 4, dtype=np.float32)) for name in ("s", "b", "m", "v")]
    kernel = files.weight("w", np.ones((4, 1, 3, 3), np.float32))
    nodes = [files.node("Conv", ["x", "w"], ["c"]), files.node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"])]
    made = files.graph(nodes, [files.value("x", ("n", 1, 8, 8))], [files.value("n", None)], [kernel, *norm])
    found = of(files.model(made))
    assert found["w"].normed and found["w"].output == "n"
    assert found["s"].kind == "BatchNorm" and list(found["s"].parts) == ["s", "b"]


def test_a_weight_that_is_used_twice_is_one_layer() -> None:
    nodes = [
        files.node("MatMul", ["x", "w"], ["m"]),
        files.node("Relu", ["m"], ["r"]),
        files.node("MatMul", ["r", "w"], ["y"]),
    ]
    found = one(nodes, [files.linear()], width=4)
    assert [node.output[0] for node in found.nodes] == ["m", "y"] and found.output == "m"


def _module(model: Model, name: str) -> Any:
    return model.graph.get_submodule(name)


@pytest.mark.parametrize(
    ("kind", "options", "bits"),
    [
        ("quantize.weight_only", {"bits": 4}, 4.0),
        ("quantize.weight_only", {"bits": 3}, 3.0),
        ("quantize.float16", {}, 16.0),
        ("quantize.dynamic", {}, 8.0),
        ("quantize.codebook", {}, 32.0),
    ],
)
def test_every_way_of_storing_stands_for_the_weights_of_the_model(
    kind: str, options: dict[str, Any], bits: float, tmp_path: Path
) -> None:
    _, after = applied(kind, tmp_path, Mlp, **options)
    write_onnx(after, tmp_path / "after.onnx")
    found = of(onnx.load(tmp_path / "after.onnx"))
    assert list(found) == ["layers.1", "layers.3"]
    for name, each in found.items():
        weight, layer = each.weight, _module(after, name)
        real = weight.real()
        assert weight.bits() == pytest.approx(bits, abs=0.1) and real is not None
        held = layer.stored_weights()[0] if hasattr(layer, "stored_weights") else layer.weight
        scale = getattr(layer, "weight_scale", None)
        if kind != "quantize.weight_only":
            wanted = held.float() * scale if scale is not None else held.float()
            assert np.allclose(real, wanted.detach().numpy(), atol=1e-6)
        assert weight.size_bytes() >= weight.numbers * bits / 8
