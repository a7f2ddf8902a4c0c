"""What of an ONNX graph is a weight: parameters, layers, and how much they compute."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper, shape_inference

from engine.onnx_model.unpacked import unpacked
from pith.facts import LayerFacts
from pith.metrics import MetricName

FINISHED = "an ONNX model is a finished graph"
_T = TensorProto
_FLOATS = frozenset({_T.FLOAT, _T.FLOAT16, _T.BFLOAT16, _T.DOUBLE})
_INTEGERS = frozenset({_T.INT8, _T.UINT8, _T.INT4, _T.UINT4, _T.INT16, _T.UINT16})
# Where the weight of a layer stands among an operator's inputs, and its bias.
_LAYERS: dict[str, tuple[int, int | None]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (1, None),
    "ConvInteger": (1, None),
    "MatMulInteger": (1, None),
    "QLinearConv": (3, 8),
    "QLinearMatMul": (3, None),
    "QGemm": (3, 6),
    "DynamicQuantizeMatMul": (1, 4),
    "MatMulIntegerToFloat": (1, 6),
    "MatMulNBits": (1, 5),
    "FusedConv": (1, 2),
    "FusedGemm": (1, 2),
    "FusedMatMul": (1, None),
    "LSTM": (1, 3),
    "GRU": (1, 3),
    "RNN": (1, 3),
}
_MATRICES = frozenset({"Gemm", "MatMul", "FusedGemm", "FusedMatMul"})
# Recurrent layers, and how many gates they have.
_RECURRENT = {"LSTM": 4, "GRU": 3, "RNN": 1}
# Inputs that scale or shift and are no parameters of their own.
_NO_WEIGHTS: dict[str, tuple[int, ...]] = {
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "BatchNormalization": (3, 4),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "QGemm": (1, 2, 4, 5, 7, 8),
    "ConvInteger": (2, 3),
    "MatMulInteger": (2, 3),
    "DynamicQuantizeMatMul": (2, 3),
    "MatMulIntegerToFloat": (2, 3, 4, 5),
    "MatMulNBits": (2, 3, 4),
    "Clip": (1, 2),
    "Pad": (1, 2, 3),
    "Resize": (1, 2, 3),
}


@dataclass(frozen=True)
class Layer:
    """An operator and the tensors that it owns."""

    node: NodeProto
    weight: TensorProto
    bias: TensorProto | None

    @property
    def name(self) -> str:
        """The dotted name where the exporter kept it."""
        stem, dot, last = self.weight.name.rpartition(".")
        name = stem if dot and last.startswith("weight") else self.node.name or self.weight.name
        return printable(name)

    @property
    def kind(self) -> str:
        """The name that such a layer has as a module."""
        operator = self.node.op_type
        if "Conv" in operator:
            return f"Conv{'Transpose' if 'Transpose' in operator else ''}{len(self.weight.dims) - 2}d"
        return operator if operator in _RECURRENT else "Linear"

    @property
    def integer(self) -> bool:
        return self.weight.data_type in _INTEGERS

    def inputs(self) -> int | None:
        """How many numbers a matrix reads; None of other weights, and of packed ones."""
        if self.node.op_type not in _MATRICES:
            return None
        return int(self.weight.dims[-1 if _flag(self.node, "transB") else -2])

    def numbers(self) -> int:
        bias = 0 if self.bias is None else math.prod(self.bias.dims)
        return int(math.prod(self.weight.dims) + bias)


def layers(graph: GraphProto) -> Iterator[Layer]:
    """Operators with weights of their own, in order."""
    arrays = {tensor.name: tensor for tensor in graph.initializer} | unpacked(graph)[0]
    sources = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear" and node.output}
    for node in graph.node:
        if node.op_type in _LAYERS:
            at, bias = _LAYERS[node.op_type]
            weight = _behind(_input(node, at), arrays, sources)
            if weight is not None and len(weight.dims) >= 2:
                yield Layer(node, weight, _behind(_input(node, bias), arrays, sources))


def printable(name: str) -> str:
    """A name out of a file, as it may be shown."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def integer_layers(graph: GraphProto) -> int:
    return sum(1 for layer in layers(graph) if layer.integer)


def parameters(graph: GraphProto) -> dict[str, TensorProto]:
    """The initializers that are weights: no scales, no statistics of norms, no single numbers, no shapes."""
    weights, used = unpacked(graph)
    arrays = {tensor.name: tensor for tensor in graph.initializer if tensor.name not in used} | weights
    aside = {f"{name.removesuffix('_quantized')}_scale" for name in arrays if name.endswith("_quantized")}
    biases = set()
    for node in graph.node:
        aside |= {name for at in _NO_WEIGHTS.get(node.op_type, ()) if (name := _input(node, at))}
        if node.op_type == "DequantizeLinear":
            biases.add(_input(node, 0))
    kinds = _FLOATS | _INTEGERS
    return {
        name: tensor
        for name, tensor in arrays.items()
        if (tensor.data_type in kinds or name in biases) and name not in aside and math.prod(tensor.dims) > 1
    }


def array_of(tensor: TensorProto) -> NDArray[np.generic]:
    array: NDArray[np.generic] = numpy_helper.to_array(tensor)
    return array


def figures(proto: ModelProto, sizes: Mapping[str, tuple[int, ...]]) -> dict[MetricName, float]:
    """Parameters, how many of them are not zero, and multiply-accumulates of one sample where they can be counted."""
    weights = parameters(proto.graph)
    counted: dict[MetricName, float] = {
        "parameters": sum(math.prod(tensor.dims) for tensor in weights.values()),
        "nonzero_parameters": sum(int(np.count_nonzero(array_of(tensor))) for tensor in weights.values()),
    }
    macs_ = total_macs(proto.graph, shapes(proto, sizes))
    return counted if macs_ is None else {**counted, "macs": macs_}


def shapes(proto: ModelProto, sizes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The sizes of every value that can be known before running, for inputs of these sizes."""
    sized = ModelProto()
    sized.CopyFrom(proto)
    del sized.graph.value_info[:]  # of any batch
    for value in sized.graph.input:
        for dim, size in zip(value.type.tensor_type.shape.dim, sizes[value.name], strict=True):
            dim.dim_value = size
    for value in sized.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        sized = shape_inference.infer_shapes(sized, data_prop=True)
    except Exception:  # its errors have no common kind; what is unknown stays uncounted
        return dict(sizes)
    found = {tensor.name: tuple(tensor.dims) for tensor in sized.graph.initializer}
    for value in (*sized.graph.input, *sized.graph.value_info, *sized.graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            found[value.name] = tuple(dim.dim_value for dim in dims)
    return found


def macs(node: NodeProto, known: Mapping[str, tuple[int, ...]]) -> int | None:
    """Multiply-accumulates of one operator; 0 for those that have none, None where a size is unknown."""
    kind = node.op_type
    if kind not in _LAYERS:
        return 0
    x, w = known.get(_input(node, 0)), known.get(_input(node, _LAYERS[kind][0]))
    y = known.get(node.output[0]) if node.output else None
    if x is None or w is None or not x or len(w) < 2:
        return None
    if kind == "ConvTranspose":
        return math.prod(x) * math.prod(w[1:])
    if kind in _RECURRENT:
        return x[0] * x[1] * math.prod(w[:2]) * (w[2] + w[1] // _RECURRENT[kind])
    if y is None:
        return None
    if "Conv" in kind:
        return math.prod(y) * math.prod(w[1:])
    inner = x[0] if _flag(node, "transA") else x[-1]
    return math.prod(y) * inner


def layer_facts(graph: GraphProto, known: Mapping[str, tuple[int, ...]]) -> Iterator[LayerFacts]:
    for layer in layers(graph):
        yield LayerFacts(
            name=layer.name,
            kind=layer.kind,
            shape=tuple(layer.weight.dims),
            parameters=layer.numbers(),
            inputs=layer.inputs(),
            macs=macs(layer.node, known),
            left_alone=FINISHED,
        )


def total_macs(graph: GraphProto, known: Mapping[str, tuple[int, ...]]) -> int | None:
    """Of all operators; None where a size is unknown or the graph branches."""
    counts = [macs(node, known) for node in graph.node]
    branches = any(attribute.type == onnx.AttributeProto.GRAPH for node in graph.node for attribute in node.attribute)
    return None if branches or None in counts else sum(count or 0 for count in counts)


def _flag(node: NodeProto, name: str) -> bool:
    return any(attribute.name == name and attribute.i for attribute in node.attribute)


def _input(node: NodeProto, at: int | None) -> str:
    return node.input[at] if at is not None and at < len(node.input) else ""


def _behind(name: str, arrays: Mapping[str, TensorProto], sources: Mapping[str, NodeProto]) -> TensorProto | None:
    """The initializer of this name, or the one that is dequantized to it."""
    if name in sources:
        name = _input(sources[name], 0)
    return arrays.get(name)
