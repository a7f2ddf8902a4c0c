"""ONNX files that build in milliseconds: good ones from the exporters, and graphs made operator by operator."""

import io
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import nn

from engine.quiet import quiet
from engine.session import open_session, run_session
from tests.engine.tiny import built

Edit = Callable[[ModelProto], object]


@cache
def exported_bytes(net: type[nn.Module], opset: int, batch: int | None, seed: int = 0) -> bytes:
    """What ``torch.onnx.export`` writes: the older exporter below opset 18; ``batch`` None is a dynamic one."""
    example = (torch.randn(batch or 2, 1, 8, 8),)
    with quiet():
        if opset >= 18:
            sizes = ({0: torch.export.Dim("batch")},) if batch is None else None
            program = torch.onnx.export(
                built(net, seed), example, dynamo=True, opset_version=opset, dynamic_shapes=sizes, verbose=False
            )
            assert program is not None
            return bytes(program.model_proto.SerializeToString())
        return _by_tracing(built(net, seed), example, opset, batch)


def _by_tracing(net: nn.Module, example: tuple[torch.Tensor, ...], opset: int, batch: int | None) -> bytes:
    file = io.BytesIO()
    axes = {"x": {0: "n"}, "scores": {0: "n"}} if batch is None else None
    torch.onnx.export(
        net,
        example,
        file,  # type: ignore[arg-type]
        dynamo=False,
        opset_version=opset,
        dynamic_axes=axes,
        input_names=["x"],
        output_names=["scores"],
    )
    return file.getvalue()


def node(kind: str, given: Sequence[str], made: Sequence[str], **options: Any) -> NodeProto:
    return helper.make_node(kind, given, made, **options)


def value(name: str, shape: Sequence[int | str | None] | None = ("batch", 4), kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def weight(name: str, array: NDArray[Any]) -> TensorProto:
    return numpy_helper.from_array(array, name)


def linear(name: str = "w", size: int = 4) -> TensorProto:
    return weight(name, np.random.default_rng(3).standard_normal((size, size)).astype(np.float32))


def graph(
    nodes: Sequence[NodeProto] | None = None,
    inputs: Sequence[Any] | None = None,
    outputs: Sequence[Any] | None = None,
    weights: Sequence[TensorProto] | None = None,
) -> GraphProto:
    """One linear layer with a bias, unless something else is given."""
    nodes = [node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "b"], ["y"])] if nodes is None else nodes
    bias = weight("b", np.arange(4, dtype=np.float32))
    return helper.make_graph(
        nodes,
        "graph",
        [value("x")] if inputs is None else inputs,
        [value("y")] if outputs is None else outputs,
        [linear(), bias] if weights is None else weights,
    )


def model(made: GraphProto | None = None, opset: int = 17, domains: dict[str, int] | None = None) -> ModelProto:
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(*one) for one in (domains or {}).items())]
    return helper.make_model(made or graph(), opset_imports=imports, ir_version=8)


def edited(edit: Edit) -> ModelProto:
    """The plain linear layer after a change."""
    made = model()
    edit(made)
    return made


def write(folder: Path, made: ModelProto | bytes) -> Path:
    path = folder / "upload.onnx"
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    return path


def write_external(folder: Path, **entries: str) -> Path:
    """The plain linear layer with its matrix in another file; ``entries`` change what is said of its place."""
    made = model()
    tensor = made.graph.initializer[0]
    data = tensor.raw_data
    (folder / "model.onnx.data").write_bytes(b"1234" + data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    told = {"location": "model.onnx.data", "offset": "4", "length": str(len(data)), **entries}
    for key, text in told.items():
        tensor.external_data.add(key=key, value=text)
    return write(folder, made)


def run(path: Path, *given: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    return run_session(open_session(path, 1), given)


def nested(depth: int) -> GraphProto:
    """Conditions inside conditions."""
    made = helper.make_graph([node("Identity", ["x"], ["inner0"])], "leaf", [], [value("inner0")])
    for level in range(1, depth + 1):
        out = f"inner{level}"
        both = {"then_branch": made, "else_branch": made if level == 1 else _plain(level)}
        made = helper.make_graph([node("If", ["c"], [out], **both)], f"level{level}", [], [value(out)])
    condition = weight("c", np.array(True))
    top = onnx.GraphProto()
    top.CopyFrom(made)
    top.input.append(value("x"))
    top.initializer.append(condition)
    return top


def _plain(level: int) -> GraphProto:
    return helper.make_graph([node("Identity", ["x"], [f"p{level}"])], f"plain{level}", [], [value(f"p{level}")])
