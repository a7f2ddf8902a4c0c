"""ONNX uploads that are refused: each with its code, the offending value and the way out."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from engine.onnx_model import OnnxLimits, read_onnx
from pith.errors import PithError
from tests.engine import onnx_files as files

node, value, weight = files.node, files.value, files.weight


def one(kind: str, **options: Any) -> ModelProto:
    domain = options.pop("domain", "")
    made = helper.make_node(kind, ["x"], ["y"], domain=domain, **options)
    return files.model(files.graph([made], weights=[]), domains={domain: 1} if domain else None)


def first(made: ModelProto) -> TensorProto:
    tensor: TensorProto = made.graph.initializer[0]
    return tensor


def _dims(*sizes: int) -> files.Edit:
    def edit(made: ModelProto) -> None:
        first(made).dims[:] = sizes

    return edit


def _values(array: Any) -> files.Edit:
    return lambda made: first(made).CopyFrom(weight("w", array))


def _with(number: float) -> Any:
    array = np.ones((4, 4), np.float32)
    array[2, 3] = number
    return array


def _opset(version: int) -> files.Edit:
    def edit(made: ModelProto) -> None:
        made.opset_import[0].version = version

    return edit


def _set(field: str, content: Any) -> files.Edit:
    return lambda made: setattr(made, field, content)


def _drop_nodes(made: ModelProto) -> None:
    del made.graph.node[:]


def _circle(made: ModelProto) -> None:
    made.graph.node[0].input[0] = "y"


def _twice(made: ModelProto) -> None:
    made.graph.node[0].output[0] = "y"


def _segment(made: ModelProto) -> None:
    first(made).segment.begin = 0


def _both_fields(made: ModelProto) -> None:
    first(made).float_data.extend([1.0] * 16)


def _float_data(made: ModelProto) -> None:
    first(made).ClearField("raw_data")
    first(made).float_data.extend([1.0] * 15)


def _double_import(made: ModelProto) -> None:
    made.opset_import.append(helper.make_opsetid("ai.onnx", 13))


def _function(*nodes: Any, name: str = "F") -> Any:
    return helper.make_function("own", name, ["a"], ["b"], list(nodes), [helper.make_opsetid("", 17)])


def _call(name: str, given: str, made: str) -> Any:
    return helper.make_node(name, [given], [made], domain="own")


def recursive() -> ModelProto:
    made = files.model(files.graph([_call("F", "x", "y")], weights=[]), domains={"own": 1})
    made.functions.append(_function(_call("F", "a", "b")))
    return made


def exponential() -> ModelProto:
    """Forty functions, each calling the one before it twice."""
    made = files.model(files.graph([_call("F40", "x", "y")], weights=[]), domains={"own": 1})
    made.functions.append(_function(node("Identity", ["a"], ["b"]), name="F0"))
    for level in range(1, 41):
        before = f"F{level - 1}"
        made.functions.append(_function(_call(before, "a", "m"), _call(before, "m", "b"), name=f"F{level}"))
    return made


def text_input() -> ModelProto:
    ends = [value("x", ("n", 1), TensorProto.STRING)]
    return files.model(files.graph([node("Identity", ["x"], ["y"])], ends, [value("y", None, TensorProto.STRING)], []))


def half() -> ModelProto:
    ends = [value("x", ("n", 4), TensorProto.FLOAT16)], [value("y", ("n", 4), TensorProto.FLOAT16)]
    return files.model(files.graph([node("Relu", ["x"], ["y"])], *ends, []))


def half_weights() -> ModelProto:
    nodes = [
        node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        node("MatMul", ["h", "w"], ["m"]),
        node("Cast", ["m"], ["y"], to=TensorProto.FLOAT),
    ]
    return files.model(files.graph(nodes, weights=[weight("w", np.ones((4, 4), np.float16))]))


def sequence_output() -> ModelProto:
    made = files.model(files.graph([node("SequenceConstruct", ["x"], ["y"])], weights=[]))
    sequence = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    made.graph.output[0].CopyFrom(sequence)
    return made


def no_batch() -> ModelProto:
    nodes = [node("ReduceSum", ["x"], ["y"], keepdims=0)]
    return files.model(files.graph(nodes, outputs=[value("y", ())], weights=[]))


def scalar_input() -> ModelProto:
    return files.model(files.graph([node("Relu", ["x"], ["y"])], [value("x", ())], [value("y", ())], []))


def random_output() -> ModelProto:
    return one("RandomNormalLike")


def training_norm() -> ModelProto:
    nodes = [node("BatchNormalization", ["x", "b", "b", "b", "b"], ["y", "m", "v"], training_mode=1)]
    return files.model(files.graph(nodes))


def sparse() -> ModelProto:
    tensor = helper.make_sparse_tensor(weight("v", np.ones(1, np.float32)), weight("i", np.array([3])), [16])
    return files.edited(lambda made: made.graph.sparse_initializer.append(tensor))


def texts() -> ModelProto:
    tensor = helper.make_tensor("t", TensorProto.STRING, [1], [b"text"])
    return files.edited(lambda made: made.graph.initializer.append(tensor))


def wrong_shape() -> ModelProto:
    return files.model(files.graph(weights=[weight("w", np.ones((5, 4), np.float32)), weight("b", np.ones(4, "f4"))]))


def no_inputs() -> ModelProto:
    return files.model(files.graph([node("Identity", ["w"], ["y"])], [], [value("y", (4, 4))], [files.linear()]))


def mixed_batch() -> ModelProto:
    ends = [value("x", ("n", 4)), value("z", (1, 4))]
    return files.model(files.graph([node("Add", ["x", "z"], ["y"])], ends, weights=[]))


REFUSED: dict[str, tuple[Callable[[], ModelProto | bytes], str, str]] = {
    "nothing": (lambda: b"", "model_malformed", "empty"),
    "text": (lambda: b"hello, this is no model at all", "model_malformed", "no ONNX file"),
    "cut off": (lambda: files.model().SerializeToString()[:-40], "model_truncated", "are left"),
    "a number without end": (lambda: b"\x08" + b"\xff" * 30, "model_truncated", "no end"),
    "a name that is no text": (
        lambda: files.model().SerializeToString().replace(b"MatMul", b"Mat\xffMu"),
        "model_malformed",
        "no UTF-8",
    ),
    "an empty message": (lambda: b"\x08\x08", "model_malformed", "no operator"),
    "no operators": (lambda: files.edited(_drop_nodes), "model_malformed", "no operator"),
    "no inputs": (no_inputs, "model_unsupported", "no input tensor"),
    "no outputs": (lambda: files.edited(lambda m: m.graph.ClearField("output")), "model_unsupported", "no output"),
    "an opset of the future": (lambda: files.edited(_opset(999)), "model_unsupported", "opset 999"),
    "an opset of the past": (lambda: files.edited(_opset(3)), "model_unsupported", "opset 3"),
    "a format of the future": (lambda: files.edited(_set("ir_version", 99)), "model_unsupported", "version 99"),
    "two standard opsets": (lambda: files.edited(_double_import), "model_malformed", "2 opsets"),
    "an operator of nobody": (lambda: one("Frobnicate"), "model_unsupported", "'Frobnicate'"),
    "an operator of somebody": (lambda: one("Relu", domain="evil.corp"), "model_unsupported", "'evil.corp::Relu'"),
    "an unknown operator of Microsoft": (
        lambda: one("Whatever", domain="com.microsoft"),
        "model_unsupported",
        "com.microsoft::Whatever",
    ),
    "Python inside": (lambda: one("PythonOp", domain="com.microsoft"), "model_unsafe", "PythonOp"),
    "a scaler": (lambda: one("Scaler", domain="ai.onnx.ml"), "model_unsupported", "classical models"),
    "an operator newer than its opset": (lambda: one("Gelu"), "model_unsupported", "'Gelu', which is no operator of"),
    "functions in a circle": (recursive, "model_malformed", "in a circle"),
    "functions that explode": (exponential, "model_too_large", "functions unfolded"),
    "deep conditions": (lambda: files.model(files.nested(20)), "model_too_large", "nesting"),
    "a shape larger than its data": (lambda: files.edited(_dims(1 << 40, 4)), "model_too_large", "weights' size"),
    "a shape a little larger": (lambda: files.edited(_dims(4, 5)), "model_malformed", "takes 80 bytes, and it has 64"),
    "a shape smaller than its data": (lambda: files.edited(_dims(4, 3)), "model_malformed", "takes 48 bytes"),
    "a negative shape": (lambda: files.edited(_dims(-4, -4)), "model_malformed", r"\[-4, -4\]"),
    "too many dimensions": (lambda: files.edited(_dims(*[1] * 40)), "model_malformed", "its shape is"),
    "numbers in two fields": (lambda: files.edited(_both_fields), "model_malformed", "raw_data, float_data"),
    "too few numbers": (lambda: files.edited(_float_data), "model_malformed", "takes 16 numbers, and it has 15"),
    "a segment": (lambda: files.edited(_segment), "model_malformed", "segment"),
    "an unknown kind of number": (
        lambda: files.edited(lambda made: setattr(first(made), "data_type", 23)),
        "model_unsupported",
        "numbers of the kind 23",
    ),
    "NaN": (lambda: files.edited(_values(_with(np.nan))), "model_unsupported", "not finite"),
    "NaN in a bias": (
        lambda: files.edited(lambda made: made.graph.initializer[1].CopyFrom(weight("b", np.full(4, np.nan, "f4")))),
        "model_unsupported",
        "not finite",
    ),
    "infinity": (lambda: files.edited(_values(_with(np.inf))), "model_unsupported", "not finite"),
    "double": (lambda: files.edited(_values(np.ones((4, 4)))), "model_unsupported|model_malformed", "float64|type"),
    "half": (half, "model_unsupported", "float16 numbers in the input 'x'"),
    "half inside": (half_weights, "model_unsupported", "float16 numbers"),
    "texts in": (text_input, "model_unsupported", "text numbers|no tensor"),
    "texts inside": (texts, "model_unsupported", "text tensor 't'"),
    "sparse weights": (sparse, "model_unsupported", "sparse"),
    "a circle": (lambda: files.edited(_circle), "model_malformed", "graph"),
    "one name twice": (lambda: files.edited(_twice), "model_malformed", "same name"),
    "shapes that do not fit": (wrong_shape, "model_malformed|model_unsupported", "graph"),
    "a sequence out": (sequence_output, "model_unsupported", "no tensor"),
    "an output of the whole batch": (no_batch, "model_unsupported", "first dimension is not the batch"),
    "a scalar in": (scalar_input, "model_unsupported", "without dimensions"),
    "dice": (random_output, "model_unsupported", "differ from run to run"),
    "norms in training": (training_norm, "model_unsupported", "training mode"),
    "two kinds of batch": (mixed_batch, "model_fixed_batch", "exactly 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_its_code_and_nothing_is_left(name: str, tmp_path: Path) -> None:
    make, code, said = REFUSED[name]
    target = tmp_path / "model.onnx"
    with pytest.raises(PithError, match=f"({code}): ") as caught:
        read_onnx(files.write(tmp_path, make()), target)
    detail = caught.value.problem.detail
    assert re.search(said, detail), detail
    assert detail.isprintable() and "/onnxruntime" not in detail and str(tmp_path) not in detail
    assert [path.name for path in tmp_path.iterdir()] == ["upload.onnx"]


PLACES: dict[str, tuple[dict[str, str], str]] = {
    "absolute": ({"location": "/etc/passwd"}, "model_unsafe"),
    "above": ({"location": "../model.onnx.data"}, "model_unsafe"),
    "round about": ({"location": "a/../../model.onnx.data"}, "model_unsafe"),
    "a drive": ({"location": "C:model.onnx.data"}, "model_unsafe"),
    "itself": ({"location": "."}, "model_unsafe"),
    "nowhere": ({"location": ""}, "model_unsafe"),
    "a folder": ({"location": "folder"}, "model_unsafe"),
    "a link": ({"location": "link"}, "model_unsafe"),
    "missing": ({"location": "other.data"}, "model_unsupported"),
    "behind its end": ({"offset": "8"}, "model_malformed"),
    "a giant offset": ({"offset": "9" * 18}, "model_malformed"),
    "a negative offset": ({"offset": "-4"}, "model_malformed"),
    "an offset in words": ({"offset": "four"}, "model_malformed"),
    "too short": ({"length": "60"}, "model_malformed"),
}


@pytest.mark.parametrize("name", PLACES)
def test_weights_elsewhere_are_not_fetched(name: str, tmp_path: Path) -> None:
    told, code = PLACES[name]
    desk = tmp_path / "unpacked"
    desk.mkdir()
    (tmp_path / "model.onnx.data").write_bytes(bytes(68))
    (desk / "folder").mkdir()
    (desk / "link").symlink_to(tmp_path / "model.onnx.data")
    source = files.write_external(desk, **told)
    with pytest.raises(PithError, match=code):
        read_onnx(source, tmp_path / "model.onnx", beside=desk)


def test_a_file_that_came_alone_and_names_another_is_told_to_bring_it(tmp_path: Path) -> None:
    source = files.write_external(tmp_path)
    with pytest.raises(PithError, match="model_unsupported") as caught:
        read_onnx(source, tmp_path / "out.onnx")
    assert "send a zip or tar with model.onnx and its data files beside it" in caught.value.problem.detail


def endless() -> ModelProto:
    body = helper.make_graph(
        [node("Identity", ["go"], ["on"]), node("Sin", ["v"], ["w"])],
        "body",
        [value("i", (), TensorProto.INT64), value("go", (), TensorProto.BOOL), value("v")],
        [value("on", (), TensorProto.BOOL), value("w")],
    )
    weights = [weight("trips", np.array(2**62)), weight("yes", np.array(True))]
    return files.model(files.graph([node("Loop", ["trips", "yes", "x"], ["y"], body=body)], weights=weights))


def test_a_loop_without_an_end_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(PithError, match="model_unsupported") as caught:
        read_onnx(files.write(tmp_path, endless()), tmp_path / "out.onnx", limits=OnnxLimits(seconds=1))
    detail = caught.value.problem.detail  # on a machine that is slow to count time, memory ends first
    assert "runs longer than 1 seconds" in detail or "needs more memory" in detail


def bomb(size: int) -> ModelProto:
    nodes = [
        node("ConstantOfShape", ["size"], ["zeros"]),
        node("ReduceSum", ["zeros"], ["s"], keepdims=0),
        node("Add", ["x", "s"], ["y"]),
    ]
    return files.model(files.graph(nodes, weights=[weight("size", np.array([size]))]))


@pytest.mark.parametrize("size", [1 << 36, 1 << 61])
def test_a_value_larger_than_memory_is_refused(size: int, tmp_path: Path) -> None:
    with pytest.raises(PithError, match="model_") as caught:
        read_onnx(files.write(tmp_path, bomb(size)), tmp_path / "out.onnx", limits=OnnxLimits(memory=2 << 30))
    assert caught.value.code in ("model_malformed", "model_unsupported")


def test_bounds_are_kept_before_anything_is_parsed(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x" if not at else f"v{at}"], [f"v{at + 1}"]) for at in range(50)]
    chain = files.model(files.graph(nodes, outputs=[value("v50")], weights=[]))
    packed = files.model(files.graph(weights=[helper.make_tensor("w", TensorProto.INT64, [500], [1] * 500)]))
    cases = [
        (chain, OnnxLimits(nodes=49), "operators"),
        (chain, OnnxLimits(fields=100), "fields"),
        (files.model(), OnnxLimits(tensors=1), "tensors"),
        (files.model(), OnnxLimits(total=100), "size in bytes"),
        (files.model(), OnnxLimits(depth=2), "nesting"),
        (packed, OnnxLimits(packed=100), "packed integers"),
    ]
    for made, limits, said in cases:
        with pytest.raises(PithError, match="model_too_large") as caught:
            read_onnx(files.write(tmp_path, made), tmp_path / "out.onnx", limits=limits)
        assert said in caught.value.problem.detail
    assert read_onnx(files.write(tmp_path, chain), tmp_path / "out.onnx").facts.parameters == 0


def test_a_crash_of_the_runtime_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for end, said in ((os.abort, "SIGABRT"), (lambda: os._exit(7), "exit code 7"), (_no_memory, "more memory")):
        monkeypatch.setattr("engine.onnx_model.read.scan", lambda data, limits, end=end: end())
        with pytest.raises(PithError, match="model_") as caught:
            read_onnx(files.write(tmp_path, files.model()), tmp_path / "out.onnx")
        assert said in caught.value.problem.detail


def _no_memory() -> None:
    raise MemoryError


def test_names_with_control_characters_never_reach_a_sentence(tmp_path: Path) -> None:
    made = files.edited(lambda m: setattr(first(m), "name", "w\x1b[31m\n"))
    made.graph.node[0].input[1] = "w\x1b[31m\n"
    first(made).raw_data = b""
    with pytest.raises(PithError) as caught:
        read_onnx(files.write(tmp_path, made), tmp_path / "out.onnx")
    assert caught.value.problem.detail.isprintable()


def test_masks_may_hold_infinity(tmp_path: Path) -> None:
    mask = weight("b", np.array([0, -np.inf, 0, 0], np.float32))
    nodes = [node("Add", ["x", "b"], ["s"]), node("Softmax", ["s"], ["y"])]
    found = read_onnx(files.write(tmp_path, files.model(files.graph(nodes, weights=[mask]))), tmp_path / "out.onnx")
    assert onnx.load(found.path).graph.initializer[0].name == "b"
