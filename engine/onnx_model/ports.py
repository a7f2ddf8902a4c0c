"""Inputs and outputs of an ONNX graph: names, kinds of number and sizes, the first being the batch."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

from engine.onnx_model.canonical import BATCH
from engine.onnx_model.limits import OnnxLimits
from engine.onnx_model.refusals import shown, too_large, unsupported

_T = TensorProto
NUMBERS: dict[int, str] = {
    _T.FLOAT: "float32",
    _T.INT8: "int8",
    _T.UINT8: "uint8",
    _T.INT16: "int16",
    _T.INT32: "int32",
    _T.INT64: "int64",
    _T.BOOL: "bool",
}
_OTHER = {_T.FLOAT16: "float16", _T.DOUBLE: "float64", _T.BFLOAT16: "bfloat16", _T.STRING: "text"}
_MOST_NUMBERS = 1 << 28

Sizes = tuple[int | None, ...]


class Port(NamedTuple):
    """One input or output. ``symbols`` names each dynamic size, so that equal ones are tried equal."""

    name: str
    dtype: str
    shape: Sizes
    symbols: tuple[str, ...]

    def sizes(self, batch: int, dynamic: dict[str, int]) -> tuple[int, ...]:
        inner = [
            dynamic[symbol] if size is None else size
            for size, symbol in zip(self.shape[1:], self.symbols[1:], strict=True)
        ]
        return (batch, *inner)


def inputs_of(proto: ModelProto, limits: OnnxLimits) -> tuple[Port, ...]:
    """What a caller gives.

    Raises:
        PithError: ``model_unsupported`` or ``model_too_large``.
    """
    given = proto.graph.input
    if not given:
        unsupported("no input tensor", "export a forward that takes one")
    if max(len(given), len(proto.graph.output)) > limits.inputs:
        too_large("The number of inputs or outputs", max(len(given), len(proto.graph.output)), limits.inputs)
    ports = tuple(_port(value, "input") for value in given)
    for port, value in zip(ports, given, strict=True):
        if not value.type.tensor_type.HasField("shape") or not port.shape:
            unsupported(f"the input {shown(port.name)} without dimensions", "take tensors whose first one is the batch")
        if np.prod([float(size or 1) for size in port.shape]) > _MOST_NUMBERS:
            too_large(f"A sample of the input {shown(port.name)}", int(max(filter(None, port.shape))), _MOST_NUMBERS)
    return ports


def check_outputs(proto: ModelProto) -> None:
    if not proto.graph.output:
        unsupported("no output tensor", "export a forward that returns one")
    for value in proto.graph.output:
        if value.type.WhichOneof("value") not in ("tensor_type", None):
            unsupported(f"the output {shown(value.name)}, which is no tensor", "return tensors alone")


def _port(value: ValueInfoProto, what: str) -> Port:
    if value.type.WhichOneof("value") != "tensor_type":
        unsupported(f"the {what} {shown(value.name)}, which is no tensor", "take tensors alone")
    kind = value.type.tensor_type.elem_type
    if kind not in NUMBERS:
        numbers = _OTHER.get(kind, f"kind {kind}")
        unsupported(f"{numbers} numbers in the {what} {shown(value.name)}", "export model.float(), with float32 inputs")
    dims = value.type.tensor_type.shape.dim
    shape = tuple(dim.dim_value if dim.dim_value > 0 else None for dim in dims)
    symbols = tuple(dim.dim_param or f"{value.name}.{index}" for index, dim in enumerate(dims))
    return Port(value.name, NUMBERS[kind], shape, symbols)


def example(port: Port, batch: int, dynamic: dict[str, int], seed: int) -> NDArray[Any]:
    """A reproducible value: noise for floating point, ones for integers and bools."""
    size = port.sizes(batch, dynamic)
    if port.dtype != "float32":
        return np.ones(size, port.dtype)
    return np.random.default_rng(seed).standard_normal(size, dtype=np.float32)


def free_batch(graph: GraphProto) -> None:
    """Call the first dimension of every input the batch, whatever it was; sizes that are none become dynamic."""
    for value in graph.input:
        for index, dim in enumerate(value.type.tensor_type.shape.dim):
            if index == 0:
                dim.dim_param = BATCH
            elif dim.HasField("dim_value") and dim.dim_value <= 0:
                dim.ClearField("dim_value")
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")


def declare_outputs(graph: GraphProto, ports: tuple[Port, ...]) -> None:
    """Write what was found by running."""
    kinds = {dtype: kind for kind, dtype in NUMBERS.items()}
    for value, port in zip(graph.output, ports, strict=True):
        value.type.tensor_type.elem_type = kinds[port.dtype]
        value.type.tensor_type.ClearField("shape")
        for size, symbol in zip(port.shape, port.symbols, strict=True):
            dim = value.type.tensor_type.shape.dim.add()
            if size is None:
                dim.dim_param = symbol
            else:
                dim.dim_value = size
