"""ONNX files that reach outside, loop, lie, or are too much."""

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.hostile.archives import tarred, zipped
from tests.hostile.case import Canary, Hostile, into

GRAPHS: list[Hostile] = []
case = into(GRAPHS, "model")
UNSAFE, MALFORMED, UNSUPPORTED, LARGE = "model_unsafe", "model_malformed", "model_unsupported", "model_too_large"
ANY = (UNSAFE, MALFORMED, UNSUPPORTED, LARGE)
COSTLY = (UNSUPPORTED, LARGE, MALFORMED, "out_of_memory", "engine_timeout")
OPSETS = [helper.make_opsetid("", 18)]


def initial() -> Any:
    return numpy_helper.from_array(np.ones((4, 2), np.float32), "w")


def value(name: str, shape: Any, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def matmul() -> Any:
    return helper.make_node("MatMul", ["x", "w"], ["y"])


def model(nodes: list[Any] | None = None, initializers: list[Any] | None = None, **options: Any) -> Any:
    graph = helper.make_graph(
        [matmul()] if nodes is None else nodes,
        "g",
        options.pop("inputs", [value("x", ["batch", 4])]),
        options.pop("outputs", [value("y", ["batch", 2])]),
        [initial()] if initializers is None else initializers,
    )
    return helper.make_model(graph, opset_imports=options.pop("opsets", OPSETS), ir_version=10, **options)


def written(path: Path, proto: Any) -> None:
    path.write_bytes(proto.SerializeToString())


def external(location: str, **more: int) -> Any:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 2], data_location=TensorProto.EXTERNAL)
    for key, found in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=str(found))
    return tensor


def _outside(location: str) -> Callable[[Path, Canary], None]:
    return lambda path, canary: written(path, model(initializers=[external(location)]))


def _outside_in_archive(location: str) -> Callable[[Path, Canary], None]:
    def build(path: Path, canary: Canary) -> None:
        data = model(initializers=[external(location)]).SerializeToString()
        zipped(path, {"model.onnx": data, "weights.bin": bytes(32)})

    return build


for _location in (
    "../../../../etc/passwd",
    "/etc/passwd",
    "weights.bin",
    "a/../../x",
    "C:\\x",
    "x\0y",
    "file:///etc/passwd",
):
    case(f"onnx: external data at {_location!a}", "model.onnx", *ANY)(_outside(_location))
for _location in ("../upload", "/etc/passwd", "sub/../../../x", "missing.bin"):
    case(f"onnx: a folder with external data at {_location}", "model.zip", *ANY)(_outside_in_archive(_location))


@case("onnx: external data through a link", "model.tar", "archive_unsafe", words="link")
def linked(path: Path, canary: Canary) -> None:
    link = tarred_link("weights.bin", "/etc/passwd")
    tarred(path, {"model.onnx": model(initializers=[external("weights.bin")]).SerializeToString()}, link)


def tarred_link(name: str, target: str) -> Any:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@case("onnx: external data behind its file", "model.zip", *ANY)
def behind(path: Path, canary: Canary) -> None:
    data = model(initializers=[external("weights.bin", offset=1 << 40, length=32)]).SerializeToString()
    zipped(path, {"model.onnx": data, "weights.bin": bytes(32)})


@case("onnx: an operator of somebody's own", "model.onnx", UNSUPPORTED, UNSAFE, MALFORMED)
def custom_operator(path: Path, canary: Canary) -> None:
    node = helper.make_node("Run", ["x"], ["y"], domain="evil.ops")
    written(path, model([node], opsets=[*OPSETS, helper.make_opsetid("evil.ops", 1)]))


@case("onnx: an operator that runs Python", "model.onnx", UNSUPPORTED, UNSAFE, MALFORMED)
def python_operator(path: Path, canary: Canary) -> None:
    node = helper.make_node("PythonOp", ["x"], ["y"], domain="com.microsoft", func_name=canary.source)
    written(path, model([node], opsets=[*OPSETS, helper.make_opsetid("com.microsoft", 1)]))


@case("onnx: an initializer of 2^80 numbers", "model.onnx", *ANY)
def giant(path: Path, canary: Canary) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 40, 1 << 40], raw_data=bytes(4))
    written(path, model(initializers=[tensor]))


@case("onnx: an initializer with a size below zero", "model.onnx", *ANY)
def negative(path: Path, canary: Canary) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-4, 2], raw_data=bytes(32))
    written(path, model(initializers=[tensor]))


@case("onnx: an initializer shorter than it says", "model.onnx", *ANY)
def short(path: Path, canary: Canary) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 2], raw_data=bytes(8))
    written(path, model(initializers=[tensor]))


@case("onnx: not a number among the weights", "model.onnx", *ANY)
def not_finite(path: Path, canary: Canary) -> None:
    written(path, model(initializers=[numpy_helper.from_array(np.full((4, 2), np.nan, np.float32), "w")]))


@case("onnx: a function that calls itself", "model.onnx", *ANY)
def recursive(path: Path, canary: Canary) -> None:
    node = helper.make_node("F", ["a"], ["b"], domain="local")
    function = helper.make_function("local", "F", ["a"], ["b"], [node], [*OPSETS, helper.make_opsetid("local", 1)])
    call = helper.make_node("F", ["x"], ["y"], domain="local")
    written(path, model([call], opsets=[*OPSETS, helper.make_opsetid("local", 1)], functions=[function]))


@case("onnx: functions that unfold to 2^40 nodes", "model.onnx", *ANY)
def unfolding(path: Path, canary: Canary) -> None:
    opsets = [*OPSETS, helper.make_opsetid("local", 1)]
    functions = []
    for level in range(40):
        name = f"F{level + 1}" if level < 39 else "Relu"
        domain = "local" if level < 39 else ""
        nodes = [
            helper.make_node(name, ["a"], ["c"], domain=domain),
            helper.make_node(name, ["c"], ["b"], domain=domain),
        ]
        functions.append(helper.make_function("local", f"F{level}", ["a"], ["b"], nodes, opsets))
    written(path, model([helper.make_node("F0", ["x"], ["y"], domain="local")], opsets=opsets, functions=functions))


@case("onnx: graphs in graphs, two hundred deep", "model.onnx", *ANY)
def deep(path: Path, canary: Canary) -> None:
    """Put together as bytes: the library itself refuses to write it."""
    proto = model()
    inner = b""
    for _ in range(200):
        attribute = _field(1, b"body") + _field(6, inner)
        inner = _field(1, _field(4, b"If") + _field(5, attribute))
    path.write_bytes(proto.SerializeToString() + _field(7, inner))


def _field(number: int, data: bytes) -> bytes:
    """A field of bytes: its number and kind, its length, itself."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


@case("onnx: a million nodes", "model.onnx", LARGE, words="operators")
def million(path: Path, canary: Canary) -> None:
    node = _field(1, _field(1, b"x") + _field(2, b"y") + _field(4, b"Relu"))
    path.write_bytes(model([]).SerializeToString() + _field(7, node * 1_000_000))


@case("onnx: ten million empty messages", "model.onnx", LARGE)
def empty_messages(path: Path, canary: Canary) -> None:
    path.write_bytes(model().SerializeToString() + _field(7, _field(5, b"") * 10_000_000))


@case("onnx: nodes in a circle", "model.onnx", *ANY)
def circle(path: Path, canary: Canary) -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    written(path, model([*nodes, helper.make_node("MatMul", ["b", "w"], ["y"])]))


@case("onnx: a loop of 2^62 rounds", "model.onnx", *COSTLY)
def endless(path: Path, canary: Canary) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["keep"], ["still"]), helper.make_node("Sin", ["state"], ["next"])],
        "body",
        [value("round", [], TensorProto.INT64), value("keep", [], TensorProto.BOOL), value("state", ["batch", 4])],
        [value("still", [], TensorProto.BOOL), value("next", ["batch", 4])],
    )
    most = numpy_helper.from_array(np.array(2**62), "most")
    true = numpy_helper.from_array(np.array(True), "true")
    loop = helper.make_node("Loop", ["most", "true", "x"], ["z"], body=body)
    written(path, model([loop, helper.make_node("MatMul", ["z", "w"], ["y"])], [initial(), most, true]))


@case("onnx: a tensor of a terabyte out of two numbers", "model.onnx", *COSTLY)
def large_constant(path: Path, canary: Canary) -> None:
    size = numpy_helper.from_array(np.array([1 << 19, 1 << 19]), "size")
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["z"]),
        helper.make_node("MatMul", ["z", "w"], ["y"]),
    ]
    written(path, model(nodes, [initial(), size]))


@case("onnx: sixty doublings", "model.onnx", *COSTLY)
def doublings(path: Path, canary: Canary) -> None:
    nodes = [helper.make_node("Concat", [f"v{i}" if i else "x"] * 2, [f"v{i + 1}"], axis=1) for i in range(60)]
    written(path, model([*nodes, helper.make_node("ReduceSum", ["v60"], ["y"])], []))


@case("onnx: an opset of the future", "model.onnx", *ANY)
def future(path: Path, canary: Canary) -> None:
    written(path, model(opsets=[helper.make_opsetid("", 9999)]))


@case("onnx: texts as inputs", "model.onnx", *ANY)
def texts(path: Path, canary: Canary) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    kinds = {
        "inputs": [value("x", ["batch"], TensorProto.STRING)],
        "outputs": [value("y", ["batch"], TensorProto.STRING)],
    }
    written(path, model([node], [], **kinds))


@case("onnx: no graph", "model.onnx", *ANY, "model_format_unknown")
def no_graph(path: Path, canary: Canary) -> None:
    written(path, onnx.ModelProto(ir_version=10, opset_import=OPSETS))


@case("onnx: half a file", "model.onnx", "model_truncated", *ANY, "model_format_unknown")
def half(path: Path, canary: Canary) -> None:
    written(path, model())
    path.write_bytes(path.read_bytes()[:-40])


@case("onnx: one output twice", "model.onnx", *ANY)
def twice(path: Path, canary: Canary) -> None:
    written(path, model([matmul(), helper.make_node("MatMul", ["x", "w"], ["y"])]))
