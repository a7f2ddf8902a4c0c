"""A new head: the layer that makes the first output, for another number of classes."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from engine.model import WEIGHTED, Model
from engine.signature import as_tuple
from pith.errors import PithError
from pith.rehead import NO_HEAD


def output_layers(graph: fx.GraphModule) -> set[str]:
    """Layers whose channels are the first output's: walk back from it to the nearest layers."""
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    first = output.args[0]
    return _behind(graph, [first[0] if isinstance(first, tuple | list) else first])


def replace_head(model: Model, classes: int, seed: int = 0) -> Model:
    """The model with fresh output layers for ``classes`` classes; the graph is changed in place, all else in it stays.

    Raises:
        PithError: ``head_not_found`` when the first output is not made by linear layers or convolutions alone; then
            nothing has changed.
    """
    old = {name: model.graph.get_submodule(name) for name in sorted(output_layers(model.graph))}
    if not old:
        raise PithError("head_not_found", reason=NO_HEAD)
    torch.manual_seed(seed)
    fresh = {name: fresh_layer(layer, classes) for name, layer in old.items()}
    _put(model, fresh)
    if not _runs(model, classes):
        _put(model, old)
        raise PithError("head_not_found", reason=f"the model does not run with {classes} outputs of {', '.join(old)}")
    first, *others = model.signature.outputs
    shape = tuple(classes if index == 1 else size for index, size in enumerate(first.shape))
    example = tuple(classes if index == 1 else size for index, size in enumerate(first.example))
    changed = replace(first, shape=shape, example=example)
    return replace(model, signature=replace(model.signature, outputs=(changed, *others)))


def _put(model: Model, layers: Mapping[str, nn.Module]) -> None:
    for name, layer in layers.items():
        model.graph.set_submodule(name, layer)


def _runs(model: Model, classes: int) -> bool:
    try:
        with torch.no_grad():
            scores = model.at_rest()(*model.signature.tensors(2))
    except (RuntimeError, ValueError, IndexError):
        return False
    first = as_tuple(scores)[0]
    return first.ndim > 1 and first.shape[1] == classes


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


def fresh_layer(layer: nn.Module, classes: int) -> nn.Module:
    """A layer like this one, with other outputs."""
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, classes, bias)
    if not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) or layer.groups != 1:
        raise PithError("head_not_found", reason=f"a {type(layer).__name__} makes it")
    shape: dict[str, Any] = {name: getattr(layer, name) for name in ("kernel_size", "stride", "padding", "dilation")}
    return type(layer)(layer.in_channels, classes, bias=bias, **shape)
