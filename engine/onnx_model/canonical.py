"""The canonical form: one graph with its weights inside, nothing that says where it came from, plain names outside."""

import re
from collections.abc import Callable, Iterable
from copy import deepcopy

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, inliner

from engine.onnx_model.operators import graphs_of
from engine.onnx_model.refusals import malformed

BATCH = "batch"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,79}")


def canonical(proto: ModelProto) -> ModelProto:
    """The same model: functions unfolded, constants as initializers, no texts and no annotations.

    Raises:
        PithError: ``model_malformed``.
    """
    if proto.functions:
        proto = inliner.inline_local_functions(proto, convert_version=False)
    for field in ("metadata_props", "training_info", "functions", "configuration"):
        del getattr(proto, field)[:]
    for field in ("doc_string", "producer_name", "producer_version", "domain", "model_version"):
        proto.ClearField(field)
    _keep_known_imports(proto)
    proto.ir_version = max(proto.ir_version, 4)
    for graph in graphs_of(proto.graph):
        _strip(graph)
    proto.graph.name = "model"
    _constants_to_initializers(proto.graph)
    _inputs_without_defaults(proto.graph)
    _check_names(proto.graph)
    _plain_names(proto.graph)
    return proto


def _keep_known_imports(proto: ModelProto) -> None:
    used = {node.domain for graph in graphs_of(proto.graph) for node in graph.node}
    kept = [one for one in proto.opset_import if one.domain in used or one.domain in ("", "ai.onnx")]
    kept = [onnx.helper.make_opsetid(one.domain, one.version) for one in kept]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)


def _strip(graph: GraphProto) -> None:
    for field in ("value_info", "quantization_annotation", "metadata_props"):
        del getattr(graph, field)[:]
    graph.ClearField("doc_string")
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("doc_string")
        del part.metadata_props[:]
    for node in graph.node:
        del node.device_configurations[:]
        for attribute in node.attribute:
            attribute.ClearField("doc_string")


def _constants_to_initializers(graph: GraphProto) -> None:
    """Quantizers look for weights among initializers alone."""
    outputs = {value.name for value in graph.output}
    kept: list[NodeProto] = []
    for node in graph.node:
        value = next((one for one in node.attribute if one.type == AttributeProto.TENSOR), None)
        plain = node.op_type == "Constant" and node.domain in ("", "ai.onnx") and len(node.output) == 1
        if not plain or value is None or value.name != "value" or node.output[0] in outputs:
            kept.append(node)
            continue
        tensor = graph.initializer.add()
        tensor.CopyFrom(value.t)
        tensor.name = node.output[0]
    if len(kept) != len(graph.node):
        kept = [deepcopy(node) for node in kept]
        del graph.node[:]
        graph.node.extend(kept)


def _inputs_without_defaults(graph: GraphProto) -> None:
    """Before version 4 of the format every weight was also an input."""
    weights = {tensor.name for tensor in graph.initializer}
    kept = [value for value in graph.input if value.name not in weights]
    if len(kept) != len(graph.input):
        copies = [deepcopy(value) for value in kept]
        del graph.input[:]
        graph.input.extend(copies)


def _check_names(graph: GraphProto) -> None:
    made = [value.name for value in graph.input] + [tensor.name for tensor in graph.initializer]
    made += [name for node in graph.node for name in node.output if name]
    if len(set(made)) != len(made) or "" in made:
        malformed("its graph", "two values have the same name, or one has none")
    outputs = [value.name for value in graph.output]
    if len(set(outputs)) != len(outputs) or not set(outputs) <= set(made):
        malformed("its outputs", "one is made by no operator, or named twice")


def _plain_names(graph: GraphProto) -> None:
    """Inputs and outputs are called by callers, so their names are words."""
    ports = [("input", value) for value in graph.input] + [("output", value) for value in graph.output]
    taken = {name for inner in graphs_of(graph) for node in inner.node for name in (*node.input, *node.output)}
    taken |= {value.name for _, value in ports} | {tensor.name for tensor in graph.initializer}
    renamed: dict[str, str] = {}
    for what, value in ports:
        if not _PLAIN.fullmatch(value.name) and value.name not in renamed:
            renamed[value.name] = _unused(value.name, what, taken)
            taken.add(renamed[value.name])
    if renamed:
        _rename(graph, lambda name: renamed.get(name, name))


def _unused(name: str, what: str, taken: set[str]) -> str:
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")[:70] or "value"
    plain = plain if plain[0].isalpha() else what
    number, found = 0, plain
    while found in taken:
        number += 1
        found = f"{plain}_{number}"
    return found


def _rename(graph: GraphProto, new: Callable[[str], str]) -> None:
    for inner in graphs_of(graph):
        for node in inner.node:
            _replace(node.input, new)
            _replace(node.output, new)
        for value in (*inner.input, *inner.output, *inner.initializer):
            value.name = new(value.name)


def _replace(names: "Iterable[str]", new: Callable[[str], str]) -> None:
    for index, name in enumerate(names):
        names[index] = new(name)  # type: ignore[index]
