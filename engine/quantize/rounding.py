"""Rounding as part of the graph: as the file of integers does it, and so that a gradient passes (straight through).

Training with it is Jacob et al. 2018 (arXiv 1712.05877); the scales of activations learn by LSQ's gradient (Esser et
al. 2020, arXiv 1902.08153), as a factor on what calibration found.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from engine.quantize.calibrate import LEVELS
from engine.quantize.integers import Layer, functional_of
from engine.quantize.placing import Scale


class Rounding(nn.Module):
    """To the nearest of 256 steps, and no further than the first and the last."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self.scale, self.zero_point = scale.scale, scale.zero_point

    def forward(self, x: Tensor) -> Tensor:
        integers = torch.clamp(torch.round(x / self.scale) + self.zero_point, 0, LEVELS - 1)
        return (integers - self.zero_point) * self.scale


class LearnedRounding(nn.Module):
    """The same with a scale that learns: ``scale = calibrated * exp(change)``. The zero point stays.

    The gradient of the scale is LSQ's, equation 3, divided by ``sqrt(values * 255)`` as in section 2.2.
    """

    calibrated: Tensor
    zero_point: Tensor

    def __init__(self, scale: Scale, learns: bool) -> None:
        super().__init__()
        self.register_buffer("calibrated", torch.tensor([scale.scale]))
        self.register_buffer("zero_point", torch.tensor([float(scale.zero_point)]))
        self.change = nn.Parameter(torch.zeros(1), requires_grad=learns)

    def forward(self, x: Tensor) -> Tensor:
        factor = (x.numel() * (LEVELS - 1)) ** -0.5
        return torch._fake_quantize_learnable_per_tensor_affine(
            x.float(), self.calibrated * self.change.exp(), self.zero_point, 0, LEVELS - 1, factor
        )

    def learned(self) -> Scale:
        return Scale(float((self.calibrated * self.change.exp()).detach()), int(self.zero_point))


class RoundedLayer(nn.Module):
    """A layer whose weight is rounded each time it is used: ``steps`` of them to the largest value, of the channel or
    of all."""

    def __init__(self, layer: Layer, per_channel: bool, steps: int) -> None:
        super().__init__()
        self.layer, self.per_channel, self.steps = layer, per_channel, steps
        self.compute = functional_of(layer)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self.compute(x.float(), self.rounded(), self.layer.bias)

    def rounded(self) -> Tensor:
        weight = self.layer.weight.float()
        largest = weight.detach().abs().flatten(1).amax(1)
        if not self.per_channel:
            largest = largest.amax().expand_as(largest)
        scale = torch.where(largest > 0, largest / self.steps, 1.0)
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -self.steps, self.steps)


@dataclass(frozen=True)
class RoundedGraph:
    """A graph that rounds, on the layers of one that does not; ``roundings`` have the names that the file has."""

    forward: fx.GraphModule
    roundings: Mapping[str, LearnedRounding]

    def scales(self) -> dict[str, Scale]:
        return {name: rounding.learned() for name, rounding in self.roundings.items()}


def rounded_graph(
    graph: fx.GraphModule,
    after: Mapping[str, fx.Node],
    roundings: Mapping[str, LearnedRounding],
    layers: Collection[str],
    per_channel: bool,
    steps: int,
) -> RoundedGraph:
    """The same computation with a rounding ``after`` these nodes and rounded weights; the layers are shared."""
    copied, there = fx.Graph(), dict[fx.Node, Any]()
    copied.output(copied.graph_copy(graph.graph, there))
    forward = fx.GraphModule(graph, copied)
    for path in layers:
        layer = graph.get_submodule(path)
        assert isinstance(layer, Layer)
        forward.set_submodule(path, RoundedLayer(layer, per_channel, steps))
    insert(forward, {name: there[after[name]] for name in roundings}, roundings)
    return RoundedGraph(forward, roundings)


def insert(graph: fx.GraphModule, after: Mapping[str, fx.Node], roundings: Mapping[str, nn.Module]) -> None:
    """Put each module behind its node, for all that read it."""
    taken = {name for name, _ in graph.named_children()}
    folder = next(name for index in range(len(taken) + 1) if (name := f"rounding{index or ''}") not in taken)
    for index, (name, module) in enumerate(roundings.items()):
        path = f"{folder}.{index}"
        graph.add_submodule(path, module)
        readers = list(after[name].users)
        with graph.graph.inserting_after(after[name]):
            call = graph.graph.call_module(path, (after[name],))
        for reader in readers:
            reader.replace_input_with(after[name], call)
    graph.graph.lint()
    graph.recompile()
