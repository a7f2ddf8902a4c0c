"""The shortest ONNX file that computes the same: nothing but operators and weights, and names where callers need them.

Not covered: rewriting operators. Only -0 becomes 0, in the weights of sums of products, where no result can tell.
"""

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, defs, numpy_helper

from engine.onnx_model.canonical import canonical as plain
from engine.onnx_model.operators import graphs_of
from pith.packed.tensors import BITS, MOST_RANK
from pith.packed.wire import Tensor

_SUMS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def canonical(proto: ModelProto) -> tuple[bytes, list[Tensor]]:
    """The skeleton and the tensors of the canonical file; ``pith.packed.wire`` puts them together again.

    Raises:
        PithError: ``model_malformed``.
    """
    proto = plain(proto)
    graph = proto.graph
    _drop_defaults(proto)
    _drop_unused(graph)
    kept = [tensor for tensor in graph.initializer if _can_move(tensor, graph)]
    _short_names(graph, [tensor.name for tensor in kept])
    positive = _only_in_sums(graph)
    tensors = [_moved(tensor, tensor.name in positive) for tensor in kept]
    rest = [TensorProto.FromString(one.SerializeToString()) for one in graph.initializer if not _can_move(one, graph)]
    del graph.initializer[:]
    graph.initializer.extend(rest)
    return proto.SerializeToString(deterministic=True), tensors


def _can_move(tensor: TensorProto, graph: GraphProto) -> bool:
    """Whether it is of a dtype with plain bytes, and no port of the graph."""
    ports = {value.name for value in (*graph.input, *graph.output)}
    plain_bytes = tensor.data_type in BITS and not tensor.external_data and len(tensor.dims) <= MOST_RANK
    return plain_bytes and tensor.name not in ports


def _drop_defaults(proto: ModelProto) -> None:
    """Attributes that say what the operator does anyway; the others in the order of their names."""
    versions = {one.domain: one.version for one in proto.opset_import}
    standard = versions.get("", versions.get("ai.onnx", 0))
    for graph in graphs_of(proto.graph):
        for node in graph.node:
            known = node.domain in ("", "ai.onnx") and defs.has(node.op_type)
            usual = defs.get_schema(node.op_type, standard).attributes if known else {}
            kept = [AttributeProto.FromString(one.SerializeToString()) for one in node.attribute]
            kept = [one for one in kept if one.name not in usual or usual[one.name].default_value != one]
            del node.attribute[:]
            node.attribute.extend(sorted(kept, key=lambda one: str(one.name)))


def _drop_unused(graph: GraphProto) -> None:
    used = {name for inner in graphs_of(graph) for node in inner.node for name in node.input}
    used |= {value.name for inner in graphs_of(graph) for value in inner.output}
    kept = [onnx.TensorProto.FromString(one.SerializeToString()) for one in graph.initializer if one.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _short_names(graph: GraphProto, tensors: list[str]) -> None:
    """Tensors are 0, 1, 2, …, other values the numbers after them; no operator has a name."""
    ports = {value.name for value in (*graph.input, *graph.output)}
    names = {name: str(index) for index, name in enumerate(tensors)}
    taken = {""} | ports
    for inner in graphs_of(graph):
        for node in inner.node:
            node.ClearField("name")
        made = [value.name for value in (*inner.input, *inner.initializer)]
        made += [name for node in inner.node for name in (*node.input, *node.output)]
        for name in made:
            if name not in taken and name not in names:
                names[name] = str(len(names))
    _check_free(names, ports)
    for inner in graphs_of(graph):
        for node in inner.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
        for value in (*inner.input, *inner.output, *inner.initializer):
            value.name = names.get(value.name, value.name)


def _check_free(names: dict[str, str], ports: set[str]) -> None:
    """Ports are words by now, so no number is the name of one."""
    clash = ports & set(names.values())
    assert not clash, f"ports are called {sorted(clash)}"


def _only_in_sums(graph: GraphProto) -> set[str]:
    """Tensors that are nothing but factors or summands of a convolution or a product of matrices."""
    in_sums: set[str] = set()
    elsewhere = {value.name for value in graph.output}
    for inner in graphs_of(graph):
        for node in inner.node:
            factors = node.op_type in _SUMS and node.domain in ("", "ai.onnx") and inner is graph
            (in_sums if factors else elsewhere).update(node.input)
    return in_sums - elsewhere


def _moved(tensor: TensorProto, positive: bool) -> Tensor:
    data = _bytes(tensor)
    if positive and tensor.data_type == TensorProto.FLOAT:
        data = (np.frombuffer(data, "<f4") + np.float32(0)).astype("<f4").tobytes()
    return Tensor(tensor.name, tensor.data_type, tuple(tensor.dims), data)


def _bytes(tensor: TensorProto) -> bytes:
    """Its numbers as ONNX's ``raw_data`` has them, wherever they are."""
    if tensor.HasField("raw_data"):
        return bytes(tensor.raw_data)
    return bytes(numpy_helper.from_array(numpy_helper.to_array(tensor)).raw_data)
