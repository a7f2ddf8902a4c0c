"""Bias correction from calibration data: Nagel et al. 2019, arXiv 1906.04721, appendix D.

Rounding moves the mean of a layer's outputs; the bias of each channel takes that back, layer after layer, each seeing
what the corrected ones before it give.
"""

from typing import Any

import torch
from torch import Tensor, fx, nn

from engine.quantize.rounding import RoundedLayer

Inputs = tuple[Tensor, ...]


def correct_biases(before: fx.GraphModule, rounded: fx.GraphModule, inputs: Inputs) -> int:
    """Change in place the biases of the rounded layers, so that their mean outputs are those of the graph before it.

    Layers have the same paths in both. Gives how many were corrected.
    """
    means = _Means(before)
    with torch.no_grad():
        means.run(*inputs)
        correcting = _Correcting(rounded, means.found)
        correcting.run(*inputs)
    return correcting.count


class _Means(fx.Interpreter):
    """Each layer's mean output by channel."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.found: dict[str, Tensor] = {}

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        result = super().call_module(target, args, kwargs)
        if isinstance(result, Tensor):
            self.found[str(target)] = _mean(self.fetch_attr(str(target)), result)
        return result


class _Correcting(fx.Interpreter):
    """Runs the rounded graph, and mends each layer's bias and output as it comes by."""

    def __init__(self, graph: fx.GraphModule, means: dict[str, Tensor]) -> None:
        super().__init__(graph)
        self.means, self.count = means, 0

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        module = self.fetch_attr(str(target))
        if not isinstance(module, RoundedLayer):
            return super().call_module(target, args, kwargs)
        moved = self.means[str(target)] - _mean(module.layer, module(*args))
        layer = module.layer
        if layer.bias is None:
            layer.bias = nn.Parameter(torch.zeros_like(moved))
        layer.bias += moved
        self.count += 1
        return module(*args)


def _mean(layer: nn.Module, output: Tensor) -> Tensor:
    """By channel: the last dimension of a linear layer, else the second."""
    channels = output.ndim - 1 if isinstance(layer, nn.Linear) else min(1, output.ndim - 1)
    return output.mean([dim for dim in range(output.ndim) if dim != channels])
