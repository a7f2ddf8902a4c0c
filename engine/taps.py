"""Values inside a model's graph as further outputs of it: features, and the probabilities of attention layers.

The rewritten graph shares the layers of the model, so training one trains the other. Not covered: ONNX models.
"""

from collections.abc import Iterable, Sequence
from operator import getitem
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from engine.head import output_layers
from engine.hints import hints
from engine.model import Model

aten: Any = torch.ops.aten
_ATTEND = aten.scaled_dot_product_attention.default
_SOFTMAX = (aten.softmax.int, aten._softmax.default)
_PRODUCTS = (aten.matmul.default, aten.bmm.default)
_PASSES = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Flatten, nn.Unflatten)


class Tap(NamedTuple):
    """``node`` names a node of the graph; its value, or the probabilities that it attends with."""

    node: str
    probabilities: bool = False


def tapped(model: Model, taps: Sequence[Tap]) -> fx.GraphModule:
    """The model's graph, which must be on its device already, with the tapped values behind its outputs."""
    graph, copied = fx.Graph(), dict[fx.Node, fx.Node]()
    values: dict[Tap, fx.Node] = {}
    for node in model.graph.graph.nodes:
        if node.op == "output":
            given = node.args[0]
            outputs = [copied[each] for each in (given if isinstance(given, tuple | list) else (given,))]
            graph.output((*outputs, *(values[tap] for tap in taps)))
            break
        copied[node] = graph.node_copy(node, copied.__getitem__)
        for tap in dict.fromkeys(taps):
            if tap.node == node.name:
                values[tap] = _value(graph, model, node, copied, tap)
    graph.lint()
    return fx.GraphModule(model.graph, graph)


def places(model: Model) -> dict[str, Tap]:
    """A tap for every block and layer by its dotted name."""
    return {hint.name: Tap(hint.node) for hint in hints(model)}


def attentions(model: Model) -> tuple[Tap, ...]:
    """A tap for the probabilities of every attention layer, of shape (batch, heads, tokens, tokens), in order."""
    return tuple(Tap(node.name, True) for node in model.graph.graph.nodes if _attends(model, node))


def before_head(model: Model) -> Tap | None:
    """What the layer reads that gives the first output; None unless that is one layer."""
    heads = output_layers(model.graph)
    calls = [node for node in model.graph.graph.nodes if node.op == "call_module" and str(node.target) in heads]
    if len(calls) != 1 or not isinstance(calls[0].args[0], fx.Node):
        return None
    return Tap(calls[0].args[0].name)


def probabilities(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(q·kᵀ·scale + mask) of an attention, with the arguments of ``scaled_dot_product_attention``."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, float("-inf"))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype is torch.bool else scores + mask
    return scores.softmax(-1)


def _value(graph: fx.Graph, model: Model, node: fx.Node, copied: dict[fx.Node, fx.Node], tap: Tap) -> fx.Node:
    if tap.probabilities and node.target is _ATTEND:
        args, kwargs = fx.map_arg((node.args, node.kwargs), copied.__getitem__)
        return graph.call_function(probabilities, args, kwargs)
    if _overwritten(model, node):
        return graph.call_function(torch.clone, (copied[node],))
    return copied[node]


def _attends(model: Model, node: fx.Node) -> bool:
    if node.op != "call_function":
        return False
    return node.target is _ATTEND or (node.target in _SOFTMAX and _weighs(model, node.users))


def _weighs(model: Model, users: Iterable[fx.Node]) -> bool:
    """Whether a matrix product is made with it, perhaps behind a dropout."""
    for user in users:
        if user.op == "call_module" and isinstance(model.graph.get_submodule(str(user.target)), _PASSES):
            return _weighs(model, user.users)
        if user.target in _PRODUCTS:
            return True
    return False


def _overwritten(model: Model, node: fx.Node) -> bool:
    """Whether something writes into this value, or into a view of it, after it was made."""
    return any(_writes(user, node, model) or (_views(user, model) and _overwritten(model, user)) for user in node.users)


def _writes(user: fx.Node, node: fx.Node, model: Model) -> bool:
    if user.op == "call_module":
        return bool(getattr(model.graph.get_submodule(str(user.target)), "inplace", False))
    if not isinstance(user.target, torch._ops.OpOverload):
        return False
    arguments = user.target._schema.arguments
    return any(
        given is node and argument.alias_info is not None and argument.alias_info.is_write
        for given, argument in zip(user.args, arguments, strict=False)
    )


def _views(user: fx.Node, model: Model) -> bool:
    """Whether its result may share memory with what it reads."""
    if user.op == "call_module":
        return isinstance(model.graph.get_submodule(str(user.target)), _PASSES)
    if isinstance(user.target, torch._ops.OpOverload):
        return any(result.alias_info is not None for result in user.target._schema.returns)
    return user.target is getitem
