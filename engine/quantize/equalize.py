"""Cross-layer equalization: Nagel et al. 2019, arXiv 1906.04721, section 4.1. The model computes what it did.

Two layers with nothing between them that is not positively homogeneous share out their weights' ranges, channel by
channel. Not covered: ReLU6 and other functions that bend elsewhere than at zero, sums, a fully connected layer behind a
flattened picture, and the absorption of high biases.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn

from engine.model import WEIGHTED
from engine.quantize.integers import Layer

aten = torch.ops.aten
_SWEEPS = 20
_DONE = 1e-3
# f(s * x) = s * f(x) for every s > 0, channel by channel.
_HOMOGENEOUS_OPERATORS = frozenset(
    {aten.relu.default, aten.relu_.default, aten.leaky_relu.default, aten.leaky_relu_.default}
    | {aten.max_pool2d.default, aten.avg_pool2d.default, aten.adaptive_avg_pool2d.default}
)
_HOMOGENEOUS_MODULES = (nn.Dropout, nn.Identity)


class Pair(NamedTuple):
    """Output channel ``i`` of ``first`` is read as input channel ``i`` of ``second`` and nowhere else."""

    first: Layer
    second: Layer


def equalize(graph: fx.GraphModule) -> int:
    """Scale the pairs' weights in place until nothing moves; gives how many pairs there are."""
    pairs = list(pairs_of(graph))
    with torch.no_grad():
        for _ in range(_SWEEPS):
            moved = max((_equalize(*pair) for pair in pairs), default=0.0)
            if moved < _DONE:
                break
    return len(pairs)


def pairs_of(graph: fx.GraphModule) -> Iterator[Pair]:
    """Every pair of layers, in the order of the graph."""
    modules = dict(graph.named_modules())
    called = [node.target for node in graph.graph.nodes if node.op == "call_module"]
    layers = {
        node: modules[node.target]
        for node in graph.graph.nodes
        if node.op == "call_module" and isinstance(modules[node.target], WEIGHTED) and called.count(node.target) == 1
    }
    tied = _tied(graph)
    for node, layer in layers.items():
        source = _source(node.args[0], modules)
        first = layers.get(source) if source is not None else None
        if first is None or first in tied or layer in tied:
            continue
        if isinstance(first, Layer) and isinstance(layer, Layer) and _fit(first, layer):
            yield Pair(first, layer)


def _source(node: fx.Node, modules: dict[str, nn.Module]) -> fx.Node | None:
    """The node whose channels these are, when nobody else reads them on the way."""
    while len(node.users) == 1:
        through = node.op == "call_function" and node.target in _HOMOGENEOUS_OPERATORS
        if node.op == "call_module":
            if not isinstance(modules[str(node.target)], _HOMOGENEOUS_MODULES):
                return node
            through = True
        if not through or not isinstance(node.args[0], fx.Node):
            return None
        node = node.args[0]
    return None


def _tied(graph: fx.GraphModule) -> set[nn.Module]:
    """Layers that share a parameter with another."""
    owners: dict[int, list[nn.Module]] = {}
    for module in graph.modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append(module)
    return {module for each in owners.values() if len(each) > 1 for module in each}


def _fit(first: Layer, second: Layer) -> bool:
    if isinstance(first, nn.Linear) != isinstance(second, nn.Linear):
        return False
    return len(first.weight) == len(_incoming(second))


def _incoming(layer: Layer) -> Tensor:
    """The weight with a row for each input channel."""
    groups = _groups(layer)
    out, inside = layer.weight.shape[:2]
    return layer.weight.reshape(groups, out // groups, inside, -1).transpose(1, 2).reshape(groups * inside, -1)


def _equalize(first: Layer, second: Layer) -> float:
    """``s = sqrt(r1 / r2)``, equation 11: ``W1 / s``, ``b1 / s``, ``W2 * s``; gives the largest ``|log s|``."""
    r1, r2 = first.weight.abs().flatten(1).amax(1), _incoming(second).abs().amax(1)
    s = torch.where((r1 > 0) & (r2 > 0), torch.sqrt(r1 / r2), 1.0)
    first.weight /= s.reshape(-1, *[1] * (first.weight.ndim - 1))
    if first.bias is not None:
        first.bias /= s
    groups, out = _groups(second), len(second.weight)
    inside = s.reshape(groups, 1, -1).expand(groups, out // groups, -1).reshape(out, -1)
    second.weight *= inside.reshape(*inside.shape, *[1] * (second.weight.ndim - 2))
    return float(s.log().abs().max())


def _groups(layer: Layer) -> int:
    return 1 if isinstance(layer, nn.Linear) else layer.groups
