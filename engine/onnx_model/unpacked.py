"""Weights that a file makes of constants when it is loaded: of packed bytes, or of numbers in 16 bits."""

import numpy as np
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
    arrays = {tensor.name: tensor for tensor in graph.initializer}
    made: dict[str, NodeProto] = {}
    read = {output.name for output in graph.output}
    for node in graph.node:
        known = node.domain == "" and all(name in arrays or name in made for name in node.input)
        if known and node.op_type in _STEPS:
            made[node.output[0]] = node
        else:
            read |= set(node.input)
    weights: dict[str, TensorProto] = {}
    used: set[str] = set()
    for name in sorted(read & made.keys()):
        steps = _steps(name, made)
        leaves = {one for node in steps for one in node.input if one in arrays}
        kinds = {arrays[leaf].data_type for leaf in leaves}
        if kinds & (_PACKED | _HALVES):
            weights[name] = _stand_in(name, steps, [arrays[leaf] for leaf in sorted(leaves)], bool(kinds & _PACKED))
            used |= leaves
    return weights, used


def _steps(name: str, made: dict[str, NodeProto]) -> list[NodeProto]:
    """The operators behind a value, in the order of the graph."""
    wanted, waiting = {name}, [name]
    while waiting:
        before = [one for one in made[waiting.pop()].input if one in made and one not in wanted]
        wanted.update(before)
        waiting += before
    return [node for output, node in made.items() if output in wanted]


def _stand_in(name: str, steps: list[NodeProto], leaves: list[TensorProto], packed: bool) -> TensorProto:
    result = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    graph = helper.make_graph(steps, "weight", [], [result], leaves)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
    value = np.asarray(ReferenceEvaluator(model).run(None, {})[0])
    return numpy_helper.from_array((value != 0).astype(np.int8) if packed else value.astype(np.float16), name)
