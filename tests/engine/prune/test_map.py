"""The map: which layers may lose channels, with which others, and why not; and that removal changes nothing else."""

import json
from dataclasses import asdict

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.model import Model
from engine.prune import proof
from engine.prune.channel import chosen
from engine.prune.channels import Channels
from engine.prune.map import prunable, width
from pith.techniques.prune.channel import PruneChannel
from tests.engine.tiny import CLASSES, Cnn, Transformer, lifted


def removed(model: Model, ratio: float = 0.5) -> tuple[Tensor, Tensor, Model]:
    """Outputs with the channels that go at zero, outputs without them, and the model without them."""
    channels = Channels(model)
    sizes = {group.key: len(group.units) for group in channels.groups}
    units = chosen(channels, PruneChannel(round_to=1), channels.importance(2), sizes, ratio)
    channels.zero(units)
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        wanted = model.graph(x)
        channels.remove(units)
        return wanted, model.graph(x), model


def test_the_map_of_a_cnn() -> None:
    layers = {layer.name: layer for layer in prunable(lifted(Cnn))}
    assert list(layers) == ["stem.0", "block.0", "block.3", "hidden", "head"]
    assert layers["stem.0"].group == layers["block.0"].group == layers["block.3"].group != layers["hidden"].group
    assert layers["head"].left_alone == "its channels are the model's output" and layers["head"].group is None
    assert layers["hidden"].kind == "Linear" and layers["hidden"].width == 32 and layers["hidden"].left_alone is None
    assert json.loads(json.dumps([asdict(layer) for layer in layers.values()]))


def test_attention_says_what_holds_it() -> None:
    layers = {layer.name: layer for layer in prunable(lifted(Transformer))}
    assert "by a reshape to 3x4x8" in (layers["qkv.0"].left_alone or "")
    assert layers["embed"].group == layers["out.0"].group == layers["mlp.1.2"].group


class Groups(nn.Module):
    """Grouped and depthwise convolutions, one that multiplies its channels, a group norm in each of several groups."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.grouped = nn.Conv2d(16, 24, 3, padding=1, groups=4)
        self.depthwise = nn.Conv2d(24, 48, 3, padding=1, groups=24)
        self.last = nn.Linear(48, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.depthwise(torch.relu(self.grouped(torch.relu(self.first(x))))))
        out: Tensor = self.last(x.mean((2, 3)))
        return out


class Joined(nn.Module):
    """Channels split, one part convolved, joined again, padded with zeros and added: Res2Net and CIFAR ResNets."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.part = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.wide, self.last = nn.Conv2d(12, 20, 3, padding=1), nn.Linear(20, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        one, two, three = torch.relu(self.first(x)).chunk(3, 1)
        y = torch.cat([one, torch.relu(self.part(two + one)), three], 1)
        z = torch.relu(self.wide(y)) + functional.pad(y, (0, 0, 0, 0, 4, 4))
        out: Tensor = self.last(z[:, :, ::2, ::2].mean((2, 3)))
        return out


class Ups(nn.Module):
    """A transposed convolution, an instance norm, a PReLU, a skip, a parameter of the graph, a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(1, 8, 2, stride=2), nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.norm, self.act = nn.InstanceNorm2d(6, affine=True), nn.PReLU(6)
        self.scale = nn.Parameter(torch.rand(6, 1, 1))
        self.rnn, self.last = nn.LSTM(6 * 8, 10, batch_first=True, bidirectional=True), nn.Linear(20, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.up(torch.relu(self.down(x))))) * self.scale
        out: Tensor = self.last(self.rnn(x.permute(0, 3, 1, 2).flatten(2))[0].mean(1))
        return out


class Shuffled(nn.Module):
    """Attention over features whose heads come from constants, and a flatten behind a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.flat = nn.Conv2d(1, 6, 3, padding=1), nn.Linear(6 * 64, 32)
        self.query, self.value = nn.Linear(32, 32), nn.Linear(32, 32)
        self.last = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.flat(torch.relu(self.conv(x)).flatten(1)))
        query, value = (layer(x).view(-1, 4, 1, 8) for layer in (self.query, self.value))
        mixed = torch.softmax(query @ query.transpose(2, 3), -1) @ value
        out: Tensor = self.last(mixed.reshape(-1, 32) + x)
        return out


KINDS: list[tuple[type[nn.Module], dict[str, int]]] = [
    (Groups, {"first": 8, "grouped": 12, "depthwise": 24, "last": CLASSES}),
    (Joined, {"first": 6, "part": 2, "wide": 10, "last": CLASSES}),
    (Ups, {"down": 4, "up": 3, "last": CLASSES}),
    (Shuffled, {"conv": 3, "flat": 32, "query": 32, "value": 32, "last": CLASSES}),
]


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize(("kind", "widths"), KINDS)
def test_removing_zeros_changes_nothing_and_the_widths_are_told(kind: type[nn.Module], widths: dict[str, int]) -> None:
    model = lifted(kind)
    assert all((layer.left_alone is None) == (layer.group is not None) for layer in prunable(model))
    wanted, given, model = removed(model)
    assert torch.allclose(wanted, given, atol=1e-5)
    assert {name: width(module) for name, module in model.layers()} == widths
    assert model.program().module()(torch.randn(5, 1, 8, 8)).shape == (5, CLASSES)
    model.graph.train()(torch.randn(4, 1, 8, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.graph.parameters())


class Averaged(nn.Module):
    """A layer norm over channels: what is left is averaged anew."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(64, 16), nn.LayerNorm(16), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.norm(self.first(x.flatten(1))))
        return out


def test_a_norm_over_channels_is_known() -> None:
    averaged, plain = Channels(lifted(Averaged)), Channels(lifted(Groups))
    assert averaged.normed([int(averaged.groups[0].units[0])])
    assert not any(plain.normed(group.units.tolist()) for group in plain.groups)


class Sorted(nn.Module):
    """An operator for which there is no rule."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 16), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(torch.fft.fft(self.first(x.flatten(1))).real)
        return out


def test_an_unknown_operator_holds_what_reaches_it_and_is_named() -> None:
    layers = {layer.name: layer for layer in prunable(lifted(Sorted))}
    assert "fft" in (layers["first"].left_alone or "") and layers["first"].group is None


def test_a_group_whose_removal_breaks_the_model_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Channels, units: list[int]) -> None:
        if self.labels[self.outputs["hidden"]].tolist()[0] in units:
            raise RuntimeError("no")

    monkeypatch.setattr(proof.Channels, "remove", broken)
    layers = {layer.name: layer for layer in prunable(lifted(Cnn))}
    assert "did not run" in (layers["hidden"].left_alone or "")
    assert layers["stem.0"].left_alone is None
