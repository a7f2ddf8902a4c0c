"""``encode.entropy``: the file, what comes out of it, and that it computes the same."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import engine.reload
from engine.encode.canonical import canonical
from engine.encode.entropy import apply, check_readable
from engine.encode.packing import pack
from engine.export import write_onnx
from engine.main import as_error
from engine.run import run
from engine.session import open_session, run_session
from pith.packed.container import unpack
from pith.packed.wire import with_initializers
from pith.techniques.encode.entropy import EncodeEntropy
from tests.engine.conformance import opened
from tests.engine.encode.graphs import SKELETON, tensors
from tests.engine.tiny import Cnn, Mlp, Transformer, inputs_of, job_folder

RECIPE = [{"kind": "encode.entropy"}]


@pytest.mark.parametrize("net", [Cnn, Mlp, Transformer])
def test_the_file_holds_the_model_that_was_measured(tmp_path: Path, net: type[nn.Module]) -> None:
    ctx = opened(job_folder(tmp_path, RECIPE, net=net))
    write_onnx(ctx.baseline, tmp_path / "before.onnx")
    after = apply(ctx.baseline.copy(), EncodeEntropy(), ctx)
    assert after.packed is not None and after.finished is not None and after.packed.name == "model.pith"
    assert unpack(after.packed.read_bytes()).model == after.finished.read_bytes()
    assert after.packed.stat().st_size < (tmp_path / "before.onnx").stat().st_size
    inputs = tuple(each.numpy() for each in inputs_of(net))
    before, now = (run_session(open_session(path, 1), inputs) for path in (tmp_path / "before.onnx", after.finished))
    assert all(np.array_equal(one, other) for one, other in zip(before, now, strict=True))
    assert f"became {after.packed.stat().st_size:,}" in ctx.notes[0]
    ctx.events.close()


def test_the_canonical_file_is_one_and_says_nothing_of_where_it_was_made(tmp_path: Path) -> None:
    ctx = opened(job_folder(tmp_path, RECIPE, net=Cnn))
    write_onnx(ctx.baseline, tmp_path / "model.onnx")
    once = with_initializers(*canonical(onnx.load(tmp_path / "model.onnx")))
    again = onnx.ModelProto.FromString(once)
    onnx.checker.check_model(again, full_check=True)
    assert again.SerializeToString(deterministic=True) == once == with_initializers(*canonical(again))
    assert not again.producer_name and not again.graph.value_info and not any(node.name for node in again.graph.node)
    assert [value.name for value in again.graph.input] == ["input"]
    ctx.events.close()


def test_only_weights_of_sums_lose_the_sign_of_zero() -> None:
    negative = np.array([[-0.0, 1.0], [2.0, -0.0]], np.float32)
    divisor = np.array([-0.0, 1.0], np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "w"], ["y"]), helper.make_node("Div", ["y", "d"], ["output"])],
        "model",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(negative, "w"), numpy_helper.from_array(divisor, "d")],
    )
    _, (weights, divisors) = canonical(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]))
    assert weights.data == np.abs(negative).tobytes() and divisors.data == divisor.tobytes()


def test_attributes_stay_where_they_matter() -> None:
    nodes = [
        helper.make_node("Gemm", ["input", "w"], ["y"], alpha=1.0, beta=0.5, transB=1),
        helper.make_node("LeakyRelu", ["y"], ["output"], alpha=0.25),
    ]
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.ones((3, 2), np.float32), "w"), numpy_helper.from_array(np.ones(9), "unused")],
    )
    skeleton, kept = canonical(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]))
    found = [[one.name for one in node.attribute] for node in onnx.ModelProto.FromString(skeleton).graph.node]
    assert found == [["beta", "transB"], ["alpha"]] and len(kept) == 1


@pytest.mark.parametrize("array", [np.array([1.5, -2.0, 3.25], np.float32), np.uint8(7), np.float16(0.3), np.zeros(0)])
def test_numbers_that_were_not_raw_bytes_are_kept(array: NDArray[Any]) -> None:
    kind = helper.np_dtype_to_tensor_dtype(np.asarray(array).dtype)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["input", "w"], ["output"])],
        "model",
        [helper.make_tensor_value_info("input", kind, ["batch", 3])],
        [helper.make_tensor_value_info("output", kind, ["batch", 3])],
        [helper.make_tensor("w", kind, np.shape(array), np.ravel(array))],
    )
    _, (tensor,) = canonical(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]))
    assert (tensor.shape, tensor.data) == (np.shape(array), array.tobytes())


def test_a_packed_file_that_cannot_be_read_is_the_engines_fault() -> None:
    """And not that of a file which somebody could fetch again."""
    whole = pack(SKELETON, tensors(np.arange(9, dtype=np.float32)))
    check_readable(whole)
    for broken in (replace(whole, data=whole.data[:-1]), replace(whole, model=whole.model + b"?")):
        with pytest.raises(RuntimeError, match="what was packed") as caught:
            check_readable(broken)
        problem = as_error(caught.value).problem
        assert (problem.code, problem.status) == ("engine_fault", 500) and "fetch it again" not in problem.detail


def test_before_it_is_encoded_a_model_weighs_what_its_onnx_file_weighs(tmp_path: Path) -> None:
    """Whatever else is handed out: packing is what the report compares, and no other format's overhead."""
    recipe = [{"kind": "quantize.dynamic"}, *RECIPE]
    sizes = []
    for form in ("onnx", "pt2"):
        folder = job_folder(tmp_path / form, recipe, net=Mlp, outputs=[form])
        report = run(folder.root, engine.reload.main)
        sizes.append([each.get("size_bytes") for each in (report.baseline, *(step.after for step in report.steps))])
        assert sizes[-1][-1] == folder.output("pith").stat().st_size == report.result.get("size_bytes")
    assert sizes[0] == sizes[1]
