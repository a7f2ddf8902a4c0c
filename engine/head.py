"""A new head: the layer that makes the first output, for another number of classes."""

from collections.abc import Iterable

import torch
from torch import fx, nn

from engine.model import WEIGHTED, Model, Weighted
from pith.errors import PithError


def output_layers(graph: fx.GraphModule) -> set[str]:
    """Layers whose channels are the first output's: walk back from it to the nearest layers."""
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    first = output.args[0]
    return _behind(graph, [first[0] if isinstance(first, tuple | list) else first])


def replace_head(model: Model, classes: int, seed: int = 0) -> Model:
    """The model, changed in place, with fresh output layers for ``classes`` classes; all else keeps its weights.

    Raises:
        PithError: ``head_not_found`` when the first output is not made by linear layers or convolutions alone.
    """
    names = output_layers(model.graph)
    if not names:
        raise PithError("head_not_found", reason="no linear layer and no convolution makes it")
    torch.manual_seed(seed)
    for name in sorted(names):
        parent, _, leaf = name.rpartition(".")
        setattr(model.graph.get_submodule(parent), leaf, _fresh(model.graph.get_submodule(name), classes))
    return model


def _behind(graph: fx.GraphModule, waiting: Iterable[fx.Node]) -> set[str]:
    modules, found, seen, todo = dict(graph.named_modules()), set(), set(), list(waiting)
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.op == "call_module" and isinstance(modules[str(node.target)], WEIGHTED):
            found.add(str(node.target))
        else:
            todo.extend(node.all_input_nodes)
    return found


def _fresh(layer: nn.Module, classes: int) -> Weighted:
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, classes, bias)
    assert isinstance(layer, nn.Conv2d)
    return nn.Conv2d(
        layer.in_channels, classes, layer.kernel_size, layer.stride, layer.padding, layer.dilation, bias=bias
    )
