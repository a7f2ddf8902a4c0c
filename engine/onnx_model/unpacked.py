"""Weights that a file makes of constants when it is loaded: of packed bytes, or of numbers in 16 bits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

_STEPS = frozenset({"Add", "BitShift", "Cast", "Mod", "Mul", "Reshape", "Slice", "Sub", "Transpose"})
_PACKED = frozenset({TensorProto.UINT8, TensorProto.INT8})
_HALVES = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})
# All of these operators mean the same in every opset from 13 on.
_OPSET = 18


def unpacked(graph: GraphProto) -> tuple[dict[str, TensorProto], set[str]]:
    """Stand-ins for such weights by the name of the value, and the initializers that they are made of.

    A stand-in has the shape of its weight. Of packed bytes it is int8, 1 where the weight is not zero; of halves it is
    the weight in float16.
    """
    weights: dict[str, TensorProto] = {}
    used: set[str] = set()
    for name, recipe in recipes(graph).items():
        packed = any(leaf.data_type in _PACKED for leaf in recipe.leaves)
        weights[name] = _stand_in(name, recipe.value(), packed)
        used |= {leaf.name for leaf in recipe.leaves}
    return weights, used


@dataclass(frozen=True)
class Recipe:
    """The operators that make a value of constants, in their order, and those constants."""

    name: str
    steps: Sequence[NodeProto]
    leaves: Sequence[TensorProto]
    opset: int = _OPSET

    def value(self) -> NDArray[np.generic]:
        result = helper.make_tensor_value_info(self.name, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.steps, "weight", [], [result], self.leaves)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        return np.asarray(ReferenceEvaluator(model).run(None, {})[0])


def recipes(graph: GraphProto) -> dict[str, Recipe]:
    """How each such weight is made, by the name of the value."""
    arrays = {tensor.name: tensor for tensor in graph.initializer}
    made: dict[str, NodeProto] = {}
    read = {output.name for output in graph.output}
    for node in graph.node:
        known = node.domain == "" and all(name in arrays or name in made for name in node.input)
        if known and node.op_type in _STEPS:
            made[node.output[0]] = node
        else:
            read |= set(node.input)
    found = {}
    for name in sorted(read & made.keys()):
        steps = _steps(name, made)
        leaves = sorted({one for node in steps for one in node.input if one in arrays})
        recipe = Recipe(name, steps, [arrays[leaf] for leaf in leaves])
        if any(leaf.data_type in _PACKED | _HALVES for leaf in recipe.leaves):
            found[name] = recipe
    return found


def _steps(name: str, made: dict[str, NodeProto]) -> list[NodeProto]:
    """The operators behind a value, in the order of the graph."""
    wanted, waiting = {name}, [name]
    while waiting:
        before = [one for one in made[waiting.pop()].input if one in made and one not in wanted]
        wanted.update(before)
        waiting += before
    return [node for output, node in made.items() if output in wanted]


def _stand_in(name: str, value: NDArray[np.generic], packed: bool) -> TensorProto:
    return numpy_helper.from_array((value != 0).astype(np.int8) if packed else value.astype(np.float16), name)
