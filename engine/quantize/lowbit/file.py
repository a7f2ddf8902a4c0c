"""Weights of an ONNX file replaced by packed bytes and the standard operators that unpack them.

Every input of these operators is a constant, so a runtime that folds constants (ONNX Runtime does) unpacks once, when
it loads the file, and then runs as fast as it ran before. Needs opset 13. Not covered: files beside the file.
"""

import hashlib
from collections.abc import Iterable
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor

from engine.quantize.lowbit.layer import LowBitWeight
from engine.quantize.lowbit.packing import field_bytes, fields


def replace_weights(proto: onnx.ModelProto, weights: Iterable[tuple[Tensor, LowBitWeight]]) -> int:
    """Pack in place every initializer that is one of these tensors, or its transpose: bit for bit; says how many.

    Each comes with the weight that takes its place.
    """
    known = {}
    for held, weight in weights:
        real = held.numpy()
        known[_digest(real)] = weight, False
        if real.ndim == 2:
            known.setdefault(_digest(np.ascontiguousarray(real.T)), (weight, True))
    nodes: list[NodeProto] = []
    kept: list[TensorProto] = []
    count = 0
    for tensor in proto.graph.initializer:
        found = known.get(_digest(numpy_helper.to_array(tensor))) if _may_match(tensor) else None
        if found is None:
            kept.append(tensor)
        else:
            count += 1
            unpacking = Unpacking(tensor.name, *found)
            nodes += unpacking.nodes
            kept += unpacking.constants
    _rebuild(proto.graph, nodes, kept)
    return count


class Unpacking:
    """The operators that make one weight of its bytes, and their constants."""

    def __init__(self, name: str, weight: LowBitWeight, transposed: bool) -> None:
        self.name = name
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        grid, shape = weight.grid, tuple(weight.levels.shape)
        last = self._levels(weight, grid.view)
        last = self._node("Cast", [last], to=TensorProto.FLOAT)
        zero = self._node("Cast", [self._constant("zero", grid.zero.numpy().astype(np.uint8))], to=TensorProto.FLOAT)
        last = self._node("Sub", [last, zero])
        last = self._node("Mul", [last, self._constant("scale", grid.scale.numpy())])
        if grid.view != shape:
            last = self._node("Reshape", [last, self._constant("shape", np.array(shape, np.int64))])
        if transposed:
            self._node("Transpose", [last], perm=[1, 0])
        self.nodes[-1].output[0] = name

    def _levels(self, weight: LowBitWeight, view: tuple[int, ...]) -> str:
        count, low, start, total = prod(view), 0, 0, ""
        packed = weight.packed.numpy()
        for width in fields(weight.bits):
            size = field_bytes(width, count)
            part = self._constant(f"bits{width}", packed[start : start + size])
            field = self._field(part, width, count, low, view)
            total = field if not total else self._node("Add", [total, field])
            low, start = low + width, start + size
        return total

    def _field(self, part: str, width: int, count: int, low: int, view: tuple[int, ...]) -> str:
        if width < 8:
            shifts = np.arange(0, 8, width, dtype=np.uint8)[:, None]
            part = self._node("BitShift", [part, self._constant(f"shifts{width}", shifts)], direction="RIGHT")
            part = self._node("Mod", [part, self._constant(f"levels{width}", np.array(1 << width, np.uint8))])
            if count % (8 // width):
                flat = self._node("Reshape", [part, self._constant("flat", np.array([-1], np.int64))])
                ends = [self._constant(f"at{at}", np.array([at], np.int64)) for at in (0, count)]
                part = self._node("Slice", [flat, *ends])
        if low:
            part = self._node(
                "BitShift", [part, self._constant(f"low{low}", np.array(low, np.uint8))], direction="LEFT"
            )
        return self._node("Reshape", [part, self._constant("view", np.array(view, np.int64))])

    def _node(self, operator: str, inputs: list[str], **attributes: object) -> str:
        output = f"{self.name}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def _constant(self, what: str, array: NDArray[np.generic]) -> str:
        name = f"{self.name}_{what}"
        if all(tensor.name != name for tensor in self.constants):
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name


def _rebuild(graph: GraphProto, nodes: list[NodeProto], constants: list[TensorProto]) -> None:
    replaced = {tensor.name for tensor in graph.initializer} - {tensor.name for tensor in constants}
    inputs = [value for value in graph.input if value.name not in replaced]
    rest = list(graph.node)
    for field, content in (("initializer", constants), ("node", nodes + rest), ("input", inputs)):
        graph.ClearField(field)
        getattr(graph, field).extend(content)


def _may_match(tensor: TensorProto) -> bool:
    return tensor.data_type == TensorProto.FLOAT and len(tensor.dims) >= 2


def _digest(array: NDArray[np.generic]) -> str:
    return hashlib.sha256(repr(array.shape).encode() + array.tobytes()).hexdigest()
