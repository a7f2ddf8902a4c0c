"""A new head: the layer that makes the first output, for another number of classes."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import fx, nn

from engine.model import WEIGHTED, Model
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


def _fresh(layer: nn.Module, classes: int) -> nn.Module:
    """A layer like this one, with other outputs."""
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, classes, bias)
    if not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) or layer.groups != 1:
        raise PithError("head_not_found", reason=f"a {type(layer).__name__} makes it")
    shape: dict[str, Any] = {name: getattr(layer, name) for name in ("kernel_size", "stride", "padding", "dilation")}
    return type(layer)(layer.in_channels, classes, bias=bias, **shape)
