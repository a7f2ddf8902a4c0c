"""Equalization keeps what a model computes and shares out its ranges; bias correction keeps its means."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.fusion import fold_norms
from engine.quantize.bias import correct_biases
from engine.quantize.equalize import equalize, pairs_of
from engine.quantize.rounding import rounded_graph
from tests.engine.tiny import CLASSES, Cnn, lifted


class _Chain(nn.Module):
    """Convolution, depthwise and grouped convolution with ReLU, dropout and pooling between; very uneven channels."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(1, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.grouped = nn.Conv2d(8, 12, 1, groups=2)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Conv2d(12, CLASSES, 4)
        with torch.no_grad():
            for layer in (self.one, self.depthwise, self.grouped):
                layer.weight *= torch.logspace(-2, 2, len(layer.weight)).reshape(-1, 1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.one(x)), 2)
        x = functional.relu(self.depthwise(x))
        x = self.drop(functional.leaky_relu(self.grouped(x), 0.1))
        return self.last(x).flatten(1)


class _Between(nn.Module):
    """What stands between two layers here is not to be passed."""

    def __init__(self, between: str) -> None:
        super().__init__()
        self.one, self.two, self.between = nn.Conv2d(1, 4, 1), nn.Conv2d(4, CLASSES, 8), between

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(x)
        y = {"relu6": functional.relu6, "hardswish": functional.hardswish}.get(self.between, functional.relu)(y)
        out: Tensor = self.two(y).flatten(1)
        return out + y.mean((2, 3)) if self.between == "read twice" else out


def test_an_equalized_chain_computes_the_same_with_even_ranges() -> None:
    model = lifted(_Chain)
    x = torch.randn(16, 1, 8, 8)
    wanted = model.graph(x)
    assert equalize(model.graph) == 3
    assert (model.graph(x) - wanted).abs().max() < 1e-4 * wanted.abs().max()
    for first, second in (("one", "depthwise"), ("depthwise", "grouped"), ("grouped", "last")):
        out = model.graph.get_submodule(first).weight.abs().flatten(1).amax(1)
        assert torch.allclose(out, _by_input(model.graph.get_submodule(second)), rtol=0.05)


def _by_input(layer: nn.Module) -> Tensor:
    """The largest weight that reads each input channel, written out by hand."""
    found = torch.zeros(layer.in_channels)
    for out in range(layer.out_channels):
        for inside in range(layer.weight.shape[1]):
            group = out // (layer.out_channels // layer.groups)
            channel = group * layer.weight.shape[1] + inside
            found[channel] = max(found[channel], layer.weight[out, inside].abs().max())
    return found


@pytest.mark.parametrize("between", ["relu6", "hardswish", "read twice"])
def test_what_bends_or_is_read_elsewhere_is_left_alone(between: str) -> None:
    class Net(_Between):
        def __init__(self) -> None:
            super().__init__(between)

    assert not list(pairs_of(lifted(Net).graph))


def test_pairs_are_found_behind_norms_that_were_folded() -> None:
    model = lifted(Cnn)
    x = torch.randn(16, 1, 8, 8)
    wanted = model.graph(x)
    fold_norms(model.graph)
    assert equalize(model.graph) == 2, "in the block, and the two linear layers; the stem is read twice"
    assert (model.graph(x) - wanted).abs().max() < 1e-4


def test_a_corrected_layer_has_the_mean_that_it_had_before_rounding() -> None:
    model = lifted(Cnn)
    fold_norms(model.graph)
    before = copy.deepcopy(model.graph)
    layers = [name for name, _ in model.layers()]
    rounded = rounded_graph(model.graph, {}, {}, layers, per_channel=False, steps=7)
    x = torch.randn(64, 1, 8, 8)
    with torch.no_grad():
        off = (rounded.forward(x).mean(0) - before(x).mean(0)).abs().max()
        assert correct_biases(before, rounded.forward, (x,)) == len(layers)
        left = (rounded.forward(x).mean(0) - before(x).mean(0)).abs().max()
    assert left < 1e-4 < 0.01 < off
