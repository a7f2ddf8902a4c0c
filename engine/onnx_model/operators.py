"""Which operators a graph may hold, and how its parts lie inside one another."""

from collections.abc import Iterable, Iterator

import onnx
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, defs

from engine.onnx_model.limits import OnnxLimits
from engine.onnx_model.refusals import malformed, shown, too_large, unsafe, unsupported

# What onnxruntime 1.31 runs; older operator sets than 7 it runs by luck alone.
OPSETS = range(7, 27)
MOST_IR = 13
STANDARD = frozenset({"", "ai.onnx"})
CONTRIB = "com.microsoft"
# Contrib operators of the CPU build that onnxruntime's own quantizers and optimizers write.
_CONTRIB = frozenset(
    {"Attention", "BiasGelu", "BiasSoftmax", "DequantizeLinear", "DynamicQuantizeLSTM"}
    | {"DynamicQuantizeMatMul", "EmbedLayerNormalization", "FastGelu", "FusedConv", "FusedGemm"}
    | {"FusedMatMul", "Gelu", "GemmFloat8", "GroupNorm", "Inverse"}
    | {"LayerNormalization", "MatMulBnb4", "MatMulInteger16", "MatMulIntegerToFloat", "MatMulNBits"}
    | {"MultiHeadAttention", "NhwcMaxPool", "QAttention", "QEmbedLayerNormalization", "QGemm"}
    | {"QLinearAdd", "QLinearAveragePool", "QLinearConcat", "QLinearConv", "QLinearGlobalAveragePool"}
    | {"QLinearLeakyRelu", "QLinearMul", "QLinearReduceMean", "QLinearSigmoid", "QLinearSoftmax"}
    | {"QLinearWhere", "QuantizeLinear", "QuickGelu", "RotaryEmbedding", "SimplifiedLayerNormalization"}
    | {"SkipLayerNormalization", "SkipSimplifiedLayerNormalization"}
)
_STANDARD_WAY_OUT = "export it with standard operators alone"
_MOST_EXPANDED = 200_000


def check_header(proto: ModelProto) -> None:
    """The versions that the file says it is made for."""
    if not 3 <= proto.ir_version <= MOST_IR:
        unsupported(
            f"version {proto.ir_version} of the ONNX format", f"export it with onnx 1.23 or older (3 to {MOST_IR})"
        )
    if not proto.HasField("graph") or not proto.graph.node:
        malformed("its graph", "there is no operator")
    for imported in proto.opset_import:
        if imported.domain in STANDARD and imported.version not in OPSETS:
            unsupported(
                f"opset {imported.version}", f"export it with an opset_version from {OPSETS.start} to {OPSETS[-1]}"
            )
    standard(proto.opset_import)


def standard(imports: Iterable[onnx.OperatorSetIdProto]) -> int:
    """The opset of the standard operators."""
    versions = {imported.version for imported in imports if imported.domain in STANDARD}
    if len(versions) != 1:
        malformed("its opset_import", f"it names {len(versions)} opsets of the standard operators")
    return int(versions.pop())


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def graphs_of(graph: GraphProto) -> Iterator[GraphProto]:
    """This graph and those inside its operators, outermost first."""
    waiting = [graph]
    while waiting:
        here = waiting.pop()
        yield here
        waiting.extend(inner for node in here.node for inner in subgraphs(node))


def nodes_of(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """These operators and those inside them."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(inner for graph in subgraphs(node) for inner in graph.node)


def check_operators(proto: ModelProto, limits: OnnxLimits) -> None:
    """Every operator is known, and functions of the file's own end somewhere.

    Raises:
        PithError: ``model_unsupported``, ``model_unsafe``, ``model_malformed`` or ``model_too_large``.
    """
    functions = {(one.domain, one.name, one.overload): one for one in proto.functions}
    if len(functions) != len(proto.functions):
        malformed("its functions", "two have the same name")
    own = set(functions)
    _check_nodes(proto.graph.node, standard(proto.opset_import), own, limits)
    for function in functions.values():
        version = standard(function.opset_import) if function.opset_import else standard(proto.opset_import)
        _check_nodes(function.node, version, own, limits)
    _check_expansion(proto, functions)


Name = tuple[str, str, str]


def _name(node: NodeProto) -> Name:
    return (node.domain, node.op_type, node.overload)


def _check_nodes(nodes: Iterable[NodeProto], version: int, own: set[Name], limits: OnnxLimits) -> None:
    for node in nodes_of(nodes):
        if _name(node) not in own:
            _check_operator(node, version)
        if any(len(name) > limits.name for name in (node.name, *node.input, *node.output)):
            too_large("The length of a name", max(map(len, (node.name, *node.input, *node.output))), limits.name)
        for attribute in node.attribute:
            if attribute.type in (AttributeProto.SPARSE_TENSOR, AttributeProto.SPARSE_TENSORS):
                unsupported(f"a sparse tensor in {shown(node.op_type)}", "export dense weights")
        if node.op_type == "BatchNormalization" and _number(node, "training_mode"):
            unsupported("batch norms in training mode", "export the model in eval mode")


def _check_operator(node: NodeProto, version: int) -> None:
    if node.domain == CONTRIB and node.op_type in _CONTRIB:
        return
    if node.domain == "ai.onnx.ml":
        unsupported(
            f"the operator {shown(node.op_type)} of classical models (trees, scalers)",
            "they hold no weights to compress; send a neural network",
        )
    if node.op_type in ("PythonOp", "PythonOpGrad", "ATen"):
        unsafe(f"the operator {shown(node.op_type)}", _STANDARD_WAY_OUT)
    if node.domain not in STANDARD:
        unsupported(f"the operator {shown(f'{node.domain}::{node.op_type}')}", _STANDARD_WAY_OUT)
    if not defs.has(node.op_type, version, ""):
        unsupported(f"{shown(node.op_type)}, which is no operator of opset {version}", _STANDARD_WAY_OUT)


def _number(node: NodeProto, name: str) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), 0)


def _check_expansion(proto: ModelProto, functions: dict[Name, FunctionProto]) -> None:
    """How many operators there are once each function stands where it is called; a circle has no number."""
    sizes: dict[Name, int] = {}
    called = {name: [_name(node) for node in nodes_of(function.node)] for name, function in functions.items()}
    waiting = set(called)
    while waiting:
        ready = [name for name in waiting if all(one in sizes or one not in functions for one in called[name])]
        if not ready:
            malformed("its functions", "they call one another in a circle")
        for name in ready:
            sizes[name] = 1 + sum(sizes.get(one, 1) for one in called[name])
        waiting -= set(ready)
    total = sum(sizes.get(_name(node), 1) for node in nodes_of(proto.graph.node))
    if total > _MOST_EXPANDED:
        too_large("The number of operators, functions unfolded,", total, _MOST_EXPANDED)
