"""ONNX uploads that are taken: what is learnt of them, and that the canonical file computes the same."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from engine.onnx_model import FinishedGraph, read_onnx
from pith.errors import PithError
from tests.engine import onnx_files as files
from tests.engine.tiny import Cnn, Mlp, Transformer

PICTURES = np.random.default_rng(0).standard_normal((5, 1, 8, 8)).astype(np.float32)
ROWS = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)


def read(folder: Path, made: Any, **more: Any) -> FinishedGraph:
    return read_onnx(files.write(folder, made), folder / "model.onnx", **more)


@pytest.mark.parametrize(("net", "opset"), [(Cnn, 13), (Mlp, 17), (Transformer, 17), (Transformer, 20)])
def test_an_exported_model_is_read_and_computes_the_same(net: Any, opset: int, tmp_path: Path) -> None:
    made = files.exported_bytes(net, opset, None)
    found = read(tmp_path, made)
    facts = found.facts
    assert facts.format == "onnx" and not facts.trainable and facts.opset == opset and facts.dtype == "float32"
    assert facts.inputs[0].shape == (None, 1, 8, 8) and facts.outputs[0].shape == (None, 4)
    assert facts.head is not None and facts.head.outputs == 4
    assert found.signature.class_scores() and found.signature.inputs[0].example == (2, 1, 8, 8)
    assert all(layer.left_alone == "an ONNX model is a finished graph" for layer in facts.layers)
    before, after = files.run(tmp_path / "upload.onnx", PICTURES), files.run(found.path, PICTURES)
    assert np.array_equal(before[0], after[0])


def test_what_is_counted_is_right(tmp_path: Path) -> None:
    facts = read(tmp_path, files.exported_bytes(Mlp, 17, None)).facts
    assert facts.parameters == 65 * 32 + 33 * 4 and facts.macs == 64 * 32 + 32 * 4
    assert [(layer.name, layer.kind, layer.shape, layer.parameters, layer.macs) for layer in facts.layers] == [
        ("layers.1", "Linear", (32, 64), 65 * 32, 64 * 32),
        ("layers.3", "Linear", (4, 32), 33 * 4, 32 * 4),
    ]
    assert facts.head is not None and facts.head.name == "layers.3"
    kinds = [layer.kind for layer in read(tmp_path, files.exported_bytes(Cnn, 13, None)).facts.layers]
    assert kinds == ["Conv2d"] * 3 + ["Linear"] * 2
    assert read(tmp_path, files.exported_bytes(Transformer, 20, None)).facts.macs is not None


@pytest.mark.parametrize(("net", "opset"), [(Cnn, 13), (Mlp, 20), (Transformer, 17)])
def test_a_fixed_batch_is_made_dynamic_where_running_proves_it(net: Any, opset: int, tmp_path: Path) -> None:
    found = read(tmp_path, files.exported_bytes(net, opset, 1))
    assert found.facts.inputs[0].shape[0] is None and "exported for a batch of 1" in found.facts.notes[0]
    one_by_one = [files.run(tmp_path / "upload.onnx", PICTURES[at : at + 1])[0] for at in range(5)]
    assert np.allclose(files.run(found.path, PICTURES)[0], np.concatenate(one_by_one), atol=1e-5)


def test_a_fixed_batch_that_samples_share_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """The mean over the batch: it runs with any batch, and gives other answers."""
    nodes = [files.node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1), files.node("Sub", ["x", "m"], ["y"])]
    made = files.model(files.graph(nodes, [files.value("x", (2, 4))], [files.value("y", (2, 4))], []))
    with pytest.raises(PithError, match="model_fixed_batch") as caught:
        read(tmp_path, made)
    assert "batch of exactly 2" in caught.value.problem.detail and "torch.onnx.export" in caught.value.problem.detail


def test_weights_beside_the_file_are_taken_in(tmp_path: Path) -> None:
    desk = tmp_path / "unpacked"
    desk.mkdir()
    source = files.write_external(desk)
    found = read_onnx(source, tmp_path / "model.onnx", beside=desk)
    assert np.array_equal(files.run(found.path, ROWS)[0], files.run(files.write(tmp_path, files.model()), ROWS)[0])
    tensors = onnx.load(found.path, load_external_data=False).graph.initializer
    assert all(tensor.data_location == TensorProto.DEFAULT for tensor in tensors)


def test_the_canonical_file_says_nothing_of_where_it_came_from(tmp_path: Path) -> None:
    def gossip(made: onnx.ModelProto) -> None:
        made.doc_string = made.producer_name = made.graph.doc_string = "SECRET"
        made.metadata_props.add(key="SECRET", value="SECRET")
        made.graph.node[0].doc_string = "SECRET"
        made.graph.node[0].metadata_props.add(key="SECRET", value="SECRET")
        made.graph.input[0].doc_string = "SECRET"
        made.graph.initializer[0].doc_string = "SECRET"
        made.graph.name = "SECRET"
        made.graph.value_info.append(files.value("SECRET"))

    found = read(tmp_path, files.edited(gossip))
    assert b"SECRET" in (tmp_path / "upload.onnx").read_bytes() and b"SECRET" not in found.path.read_bytes()


def test_reading_the_canonical_file_again_changes_nothing(tmp_path: Path) -> None:
    first = read(tmp_path, files.exported_bytes(Cnn, 17, 1))
    again = read_onnx(first.path, tmp_path / "again.onnx")
    assert again.path.read_bytes() == first.path.read_bytes()
    assert again.signature == first.signature and again.facts.layers == first.facts.layers


def test_functions_of_the_file_are_unfolded_and_constants_become_weights(tmp_path: Path) -> None:
    double = helper.make_function(
        "own", "Double", ["a"], ["b"], [files.node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    nodes = [
        files.node("Constant", [], ["w"], value=files.linear("")),
        files.node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Double", ["m"], ["y"], domain="own"),
    ]
    made = files.model(files.graph(nodes, weights=[]), domains={"own": 1})
    made.functions.append(double)
    found = read(tmp_path, made)
    canonical = onnx.load(found.path)
    assert not canonical.functions and [node.op_type for node in canonical.graph.node] == ["MatMul", "Add"]
    assert found.facts.parameters == 16
    assert np.array_equal(files.run(found.path, ROWS)[0], files.run(tmp_path / "upload.onnx", ROWS)[0])


def test_names_of_inputs_and_outputs_become_words_and_equal_sizes_stay_equal(tmp_path: Path) -> None:
    nodes = [files.node("Add", ["a:0", "1"], ["s"]), files.node("MatMul", ["s", "w"], ["out/y"])]
    ends = [files.value("a:0", ("n", "length", 4)), files.value("1", ("n", "length", 4))]
    made = files.model(files.graph(nodes, ends, [files.value("out/y", ("n", "length", 4))]))
    found = read(tmp_path, made)
    assert [tensor.name for tensor in found.facts.inputs] == ["a_0", "input"]
    assert [(tensor.name, tensor.shape) for tensor in found.facts.outputs] == [("out_y", (None, None, 4))]
    again = {tensor.name: tensor.shape for tensor in read_onnx(found.path, tmp_path / "again.onnx").facts.inputs}
    assert again == {"a_0": (None, None, 4), "input": (None, None, 4)}


def test_weights_that_are_inputs_too_are_weights(tmp_path: Path) -> None:
    """Version 3 of the format lists every weight among the inputs."""
    made = files.model(files.graph(inputs=[files.value("x"), files.value("w", (4, 4)), files.value("b", (4,))]))
    made.ir_version = 3
    assert [tensor.name for tensor in read(tmp_path, made).facts.inputs] == ["x"]


def test_several_outputs_and_integer_inputs(tmp_path: Path) -> None:
    nodes = [
        files.node("Gather", ["w", "ids"], ["rows"]),
        files.node("ReduceMean", ["rows"], ["y"], axes=[1], keepdims=0),
        files.node("ArgMax", ["y"], ["label"], axis=1, keepdims=0),
    ]
    ends = [files.value("ids", ("n", "length"), TensorProto.INT64)]
    outputs = [files.value("y", ("n", 4)), files.value("label", ("n",), TensorProto.INT64)]
    found = read(tmp_path, files.model(files.graph(nodes, ends, outputs)))
    assert [tensor.dtype for tensor in (*found.facts.inputs, *found.facts.outputs)] == ["int64", "float32", "int64"]
    assert found.facts.outputs[1].shape == (None,)
