"""What each layer of an ONNX graph holds: its numbers as they are stored, what they stand for, and where it computes.

Every parameter belongs to one layer: a weight to its operator, a bias to the same, anything else to the module that its
name begins with. Not covered: graphs inside operators.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from engine.onnx_model.unpacked import Recipe, recipes
from engine.onnx_model.weights import layers, parameters

_OTHER_KINDS = {
    "Gather": "Embedding",
    "LayerNormalization": "LayerNorm",
    "BatchNormalization": "BatchNorm",
    "InstanceNormalization": "InstanceNorm",
    "GroupNormalization": "GroupNorm",
    "PRelu": "PReLU",
}
_PARAMETER = "Parameter"
_INTEGER = frozenset({"MatMulInteger", "ConvInteger"})
_ROUNDING = frozenset({"QuantizeLinear", "DequantizeLinear"})
_BITS = {TensorProto.INT4: 4, TensorProto.UINT4: 4, TensorProto.FLOAT16: 16, TensorProto.BFLOAT16: 16}
_INTEGERS = frozenset({TensorProto.INT8, TensorProto.UINT8, TensorProto.INT4, TensorProto.UINT4, TensorProto.INT32})
_DEQUANTIZED_OPSET = 21
_ENDS = ("_scale", "_zero_point")


@dataclass(frozen=True)
class Part:
    """One parameter: ``value`` is what operators read, ``tensor`` the parameter or its stand-in, ``stored`` all that
    the file holds of it, scales too. ``turned`` says that the inputs of a matrix come first."""

    value: str
    tensor: TensorProto
    stored: Sequence[TensorProto]
    recipe: Recipe | None
    turned: bool

    @property
    def numbers(self) -> int:
        return math.prod(self.tensor.dims)

    @property
    def shape(self) -> tuple[int, ...]:
        """The outputs of a matrix first."""
        dims = tuple(self.tensor.dims)
        return (*dims[:-2], dims[-1], dims[-2]) if self.turned else dims

    @property
    def plain(self) -> bool:
        """Whether it is stored as what it stands for, in float32."""
        return self.recipe is None and len(self.stored) == 1 and self.tensor.data_type == TensorProto.FLOAT

    def size_bytes(self) -> int:
        return sum(_bytes(tensor) for tensor in self.stored)

    def bits(self) -> float:
        """Of one number, without scales."""
        if self.recipe is None or self.recipe.steps[0].op_type == "DequantizeLinear":
            return float(_bits(self.tensor))
        data = [tensor for tensor in self.stored if "_bits" in tensor.name[len(self.value) :]] or self.stored
        return 8 * sum(map(_bytes, data)) / max(1, self.numbers)

    def real(self) -> NDArray[np.float32] | None:
        """What the numbers stand for, the outputs of a matrix first; None where only the runtime knows."""
        array = self._real()
        return None if array is None else np.ascontiguousarray(array.swapaxes(-1, -2) if self.turned else array)

    def nonzero(self) -> int:
        real = self._real()
        return int(np.count_nonzero(numpy_helper.to_array(self.tensor) if real is None else real))

    def _real(self) -> NDArray[np.float32] | None:
        if self.recipe is not None:
            return np.asarray(self.recipe.value(), np.float32)
        array = numpy_helper.to_array(self.tensor)
        if len(self.stored) == 1:
            return array.astype(np.float32) if self.tensor.data_type not in _INTEGERS else None
        scale, zero = (numpy_helper.to_array(tensor).astype(np.float32) for tensor in self.stored[1:])
        return np.asarray((array.astype(np.float32) - zero) * scale, np.float32)


@dataclass
class Holding:
    """A layer under its dotted name, or that of its weight. ``nodes`` are its operators, and ``output`` is what the
    first of them gives once the bias is added and a batch norm applied, which is ``normed`` if it is not in the weight;
    a parameter by itself gives nothing.
    """

    name: str
    kind: str
    parts: dict[str, Part] = field(default_factory=dict)
    nodes: list[NodeProto] = field(default_factory=list)
    output: str = ""
    normed: bool = False

    @property
    def weight(self) -> Part:
        return next(iter(self.parts.values()))


def holdings(graph: GraphProto) -> list[Holding]:
    """All layers with numbers of their own, in the order of the graph."""
    return _Reader(graph).read()


class _Reader:
    def __init__(self, graph: GraphProto) -> None:
        self.graph = graph
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}
        self.known = parameters(graph)
        self.recipes = recipes(graph)
        self.sources = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
        self.dequantized = {node.input[0]: node for node in self.sources.values()}
        self.made = {name: node for node in graph.node for name in node.output}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.owners: dict[str, Holding] = {}
        self.found: dict[str, Holding] = {}

    def read(self) -> list[Holding]:
        operators = {id(layer.node): layer for layer in layers(self.graph)}
        for node in self.graph.node:
            if (layer := operators.get(id(node))) is not None:
                self._layer(node, layer.kind, layer.weight, layer.bias)
        for node in self.graph.node:
            if node.op_type not in _ROUNDING:
                for value in node.input:
                    self._other(node, value)
        place = {id(node): index for index, node in enumerate(self.graph.node)}
        found = sorted((one for one in self.found.values() if one.parts), key=lambda one: place[id(one.nodes[0])])
        for each in found:
            self._end(each)
        return found

    def _layer(self, node: NodeProto, kind: str, weight: TensorProto, bias: TensorProto | None) -> None:
        owner = self.owners.get(weight.name)
        if owner is not None:
            owner.nodes.append(node)
            return
        stem = _stem(weight.name)
        bias_value = None if bias is not None else self._added(node)
        if stem == _base(weight.name) and bias_value and "." in bias_value:
            stem = _stem(bias_value)  # exporters that number their weights keep the names of biases
        name = stem if stem not in self.found else _base(weight.name)
        owner = self.found[name] = Holding(name, kind, nodes=[node])
        self._take(owner, "weight", weight.name, node)
        if bias is not None:
            self._take(owner, "bias", bias.name, node)
        elif bias_value:
            self._take(owner, "bias", bias_value, node)
        for value in node.input:
            self._take(owner, value, self._origin(value), node)

    def _other(self, node: NodeProto, value: str) -> None:
        name = self._origin(value)
        if name not in self.known or name in self.owners:
            return
        stem, base, kind = _stem(name), _base(name), _OTHER_KINDS.get(node.op_type, _PARAMETER)
        own = (one for one in self.found.values() if kind != _PARAMETER and one.nodes[0] is node)
        owner = self.found.get(stem) or next(own, None)
        if owner is None:
            owner = self.found[stem] = Holding(stem, kind, nodes=[node])
        self._take(owner, base.removeprefix(f"{stem}."), name, node)

    def _take(self, owner: Holding, role: str, name: str, node: NodeProto) -> None:
        if name not in self.known or name in self.owners:
            return
        self.owners[name] = owner
        tensor, value = self.known[name], name
        recipe, stored = self.recipes.get(name), [self.tensors[name]] if name in self.tensors else []
        if recipe is not None:
            stored = list(recipe.leaves)
        elif source := self.dequantized.get(name):
            value = source.output[0]
            stored = [self.tensors[each] for each in source.input if each in self.tensors]
            recipe = Recipe(value, [source], stored, _DEQUANTIZED_OPSET)
        elif name.endswith("_quantized"):
            aside = [f"{_base(name)}{end}" for end in _ENDS]
            stored += [self.tensors[each] for each in aside if all(one in self.tensors for one in aside)]
        turned = role == "weight" and owner.kind == "Linear" and not _rows(node)
        owner.parts[role] = Part(value, tensor, stored, recipe, turned)

    def _origin(self, value: str) -> str:
        """The initializer behind a value that is dequantized, or the value itself."""
        return self.sources[value].input[0] if value in self.sources else value

    def _added(self, node: NodeProto) -> str | None:
        """The value that is added to what a matrix gives, if it is a parameter of the right size and nobody's yet."""
        for add in self._after(node):
            if add.op_type == "Add":
                names = [self._origin(value) for value in add.input]
                bias = [name for name in names if name in self.known and len(self.known[name].dims) == 1]
                return bias[0] if bias and bias[0] not in self.owners else None
        return None

    def _after(self, node: NodeProto) -> Iterator[NodeProto]:
        """What follows one after the other, as far as it only scales, rounds or adds."""
        while True:
            readers = self.readers.get(node.output[0], [])
            if len(readers) != 1:
                return
            passing = readers[0].op_type in _ROUNDING | {"Add"} or self._of_integers(node, readers[0])
            if not passing:
                return
            node = readers[0]
            yield node

    def _of_integers(self, node: NodeProto, reader: NodeProto) -> bool:
        """The products of integers are cast and scaled."""
        return (node.op_type in _INTEGER and reader.op_type == "Cast") or (
            node.op_type == "Cast"
            and reader.op_type == "Mul"
            and any(self.made[name].op_type in _INTEGER for name in node.input if name in self.made)
        )

    def _end(self, holding: Holding) -> None:
        if holding.kind == _PARAMETER:
            return
        output = holding.nodes[0].output[0]
        for node in self._after(holding.nodes[0]):
            if node.op_type == "Add":
                own = any(self.owners.get(self._origin(value)) is holding for value in node.input)
                output = node.output[0] if own else output
                break
            if node.op_type not in _ROUNDING:
                output = node.output[0]
        norms = self.readers.get(output, [])
        holding.normed = len(norms) == 1 and norms[0].op_type == "BatchNormalization"
        holding.output = norms[0].output[0] if holding.normed else output


def _rows(node: NodeProto) -> bool:
    """Whether the weight of a matrix has a row for each output."""
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)


def _base(name: str) -> str:
    return name.removesuffix("_quantized")


def _stem(name: str) -> str:
    """The module that a parameter's name begins with, or the name itself."""
    base = _base(name)
    return base.rpartition(".")[0] or base


def _bits(tensor: TensorProto) -> int:
    return _BITS.get(tensor.data_type) or 8 * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _bytes(tensor: TensorProto) -> int:
    return -(-int(math.prod(tensor.dims)) * _bits(tensor) // 8)
