"""The shape of every value in a model's graph, found by running it."""

from typing import Any

import torch
from torch import Tensor, fx

from engine.model import Model


def shapes_of(model: Model, batch: int) -> dict[fx.Node, Any]:
    """By node: a tuple for a tensor, a list for several values, anything else as it is. Nothing is trained or moved."""
    recorder = _Recorder(model.at_rest())
    with torch.no_grad():
        recorder.run(*model.signature.tensors(batch))
    return recorder.found


class _Recorder(fx.Interpreter):
    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.found: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        self.found[n] = _shape(result)
        return result


def _shape(value: Any) -> Any:
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, list | tuple):
        return [_shape(item) for item in value]
    return value
