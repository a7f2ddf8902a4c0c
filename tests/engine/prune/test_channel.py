"""Channel pruning: which channels go, which layers stay, and that nothing else changes."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.head import output_layers
from engine.intake.facts import Origin, describe
from engine.measure import macs_of
from engine.model import Model
from engine.prune import channel
from engine.prune.channels import Channels, Group
from engine.prune.goal import cost_of, least_gone
from engine.prune.importance import bn_scale, lamp, taylor
from engine.prune.map import width
from engine.prune.portions import portions, ranked, unit_step
from engine.randomness import generator
from pith.errors import PithError
from pith.outlook import Given
from pith.techniques.prune.channel import PruneChannel
from tests.engine.conformance import check_same, opened
from tests.engine.tiny import CLASSES, Cnn, Mlp, Transformer, job_folder, lifted


def pruned(root: Path, net: type[nn.Module] = Cnn, **options: Any) -> tuple[Model, Model]:
    seed = options.pop("seed", 0)
    folder = job_folder(root, [{"kind": "prune.channel", **options}], net=net, seed=seed)
    ctx = opened(folder)
    try:
        return ctx.baseline, channel.apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    finally:
        ctx.events.close()


def widths(model: Model) -> dict[str, int]:
    return {name: width(module) for name, module in model.layers()}


def test_every_layer_loses_its_part_and_the_output_layer_none(tmp_path: Path) -> None:
    _, after = pruned(tmp_path, pruning_ratio=0.5, round_to=4)
    assert widths(after) == {"stem.0": 8, "block.0": 8, "block.3": 8, "hidden": 16, "head": CLASSES}


def test_iterations_end_at_the_same_widths(tmp_path: Path) -> None:
    once = pruned(tmp_path / "once", pruning_ratio=0.5, round_to=8)[1]
    thrice = pruned(tmp_path / "thrice", pruning_ratio=0.5, round_to=8, iterations=3)[1]
    assert widths(once) == widths(thrice)


def test_what_each_layer_lost_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all iterations together."""
    monkeypatch.setattr(channel, "LISTED", 2)
    ctx = opened(job_folder(tmp_path, [{"kind": "prune.channel", "pruning_ratio": 0.5, "iterations": 2}]))
    channel.apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    ctx.events.close()
    said = "Removed 40 of 84 channels, in 4 of 5 layers: stem.0 16 → 8, block.0 16 → 8 and 2 more."
    assert ctx.notes == [said]


@pytest.mark.parametrize("ignore", [[], ["hidden"]])
def test_a_plan_counts_as_the_job_does(ignore: list[str], tmp_path: Path) -> None:
    ctx = opened(job_folder(tmp_path, [{"kind": "prune.channel", "pruning_ratio": 0.5, "ignore": ignore}]))
    facts = describe(ctx.baseline.copy(), Origin("pt2"))
    planned = ctx.config.outlook(Given(model=facts, baseline=facts)).does  # type: ignore[attr-defined]
    channel.apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    ctx.events.close()
    (note,) = ctx.notes
    assert re.findall(r"\d+", planned)[:4] == re.findall(r"\d+", note)[:4]


@pytest.mark.parametrize("round_to", [1, 2, 8])
def test_widths_are_multiples(round_to: int, tmp_path: Path) -> None:
    _, after = pruned(tmp_path, pruning_ratio=0.3, round_to=round_to)
    assert all(size % round_to == 0 for name, size in widths(after).items() if name != "head")
    assert widths(after)["hidden"] < 32


def test_named_layers_stay_with_all_that_is_coupled_to_them(tmp_path: Path) -> None:
    _, after = pruned(tmp_path, pruning_ratio=0.5, round_to=4, ignore=["block.*"])
    assert widths(after) == {"stem.0": 16, "block.0": 16, "block.3": 16, "hidden": 16, "head": CLASSES}


def test_the_least_important_channels_of_the_whole_model_go(tmp_path: Path) -> None:
    before, after = pruned(tmp_path, net=Mlp, pruning_ratio=0.5, round_to=4, scope="global")
    kept = after.graph.get_submodule("layers.1").weight
    norms = before.graph.get_submodule("layers.1").weight.norm(dim=1) ** 2
    norms = norms + before.graph.get_submodule("layers.3").weight.norm(dim=0) ** 2
    best = norms.argsort(descending=True)[: len(kept)].sort().values
    assert torch.equal(kept, before.graph.get_submodule("layers.1").weight[best])


def test_removing_channels_that_are_zero_changes_nothing(tmp_path: Path) -> None:
    model = lifted(Cnn)
    with torch.no_grad():
        for name, rows in (("stem.1", 16), ("block.1", 16), ("hidden", 32)):
            layer = model.graph.get_submodule(name)
            layer.weight[: rows // 2] = 0
            layer.bias[: rows // 2] = 0
        for name in ("stem.0", "block.0", "block.3"):
            model.graph.get_submodule(name).weight[:8] = 0
        model.graph.get_submodule("block.3").bias[:8] = 0
    x = torch.randn(9, 1, 8, 8)
    wanted = model.graph(x)
    channels = Channels(model)
    sizes = {group.key: len(group.units) for group in channels.groups}
    channels.remove(channel.chosen(channels, PruneChannel(round_to=1), channels.importance(2), sizes, 0.5))
    assert widths(model)["stem.0"] == 8 and widths(model)["hidden"] == 16
    assert (model.graph(x) - wanted).abs().max() < 1e-5


def test_attention_is_left_alone_and_what_is_around_it_is_not(tmp_path: Path) -> None:
    before, after = pruned(tmp_path, net=Transformer, pruning_ratio=0.5, round_to=8)
    changed = {name for name, size in widths(after).items() if size != widths(before)[name]}
    assert {"mlp.0.0", "mlp.1.0"} <= changed
    assert not changed & {"qkv.0", "qkv.1", "head"}


class _Grouped(nn.Module):
    """Grouped convolution, concatenation, channel attention."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.grouped = nn.Conv2d(16, 16, 3, padding=1, groups=4)
        self.squeeze = nn.Conv2d(16, 8, 1)
        self.excite = nn.Conv2d(8, 16, 1)
        self.last = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        y = torch.relu(self.grouped(x))
        y = y * torch.sigmoid(self.excite(torch.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        out: Tensor = self.last(torch.cat([x, y], 1).mean((2, 3)))
        return out


class _Reshaped(nn.Module):
    """Channels split into parts by a constant: pruning them would reshuffle or break."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.free = nn.Linear(16, 32)
        self.last = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = x.view(x.shape[0], 4, 4, 8, 8).transpose(1, 2).reshape(x.shape[0], 16, -1).mean(-1)
        out: Tensor = self.last(torch.relu(self.free(x)))
        return out


@pytest.mark.parametrize(("net", "stays"), [(_Grouped, {"last"}), (_Reshaped, {"first", "last"})])
def test_couplings_hold_and_what_is_tied_to_constants_stays(
    net: type[nn.Module], stays: set[str], tmp_path: Path
) -> None:
    before, after = pruned(tmp_path, net=net, pruning_ratio=0.5, round_to=4)
    assert {name for name, size in widths(after).items() if size == widths(before)[name]} == stays
    assert after.graph(torch.randn(3, 1, 8, 8)).shape == (3, CLASSES)
    assert after.program().module()(torch.randn(5, 1, 8, 8)).shape == (5, CLASSES)


class _Flattened(nn.Module):
    """A flatten written as a view with a constant, or with the batch alone named."""

    width: int = -1

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(1, 8, 8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(torch.relu(self.conv(x)).view(x.shape[0], self.width))
        return out


class _FlattenedByConstant(_Flattened):
    width = 8


@pytest.mark.parametrize("net", [_Flattened, _FlattenedByConstant])
def test_a_flatten_follows_the_channels(net: type[nn.Module], tmp_path: Path) -> None:
    _, after = pruned(tmp_path, net=net, pruning_ratio=0.5, round_to=4)
    assert widths(after) == {"conv": 4, "last": CLASSES}


def test_nothing_to_prune_says_so(tmp_path: Path) -> None:
    for options, said in (
        ({"ignore": ["*"]}, "no layer has channels"),
        ({"ignore": ["head", "layer4.*"]}, "'layer4.*', which matches no layer; name some of stem.0, block.0"),
        ({"round_to": 256}, "stay a multiple of 256"),
    ):
        with pytest.raises(PithError, match="technique_inapplicable") as caught:
            pruned(tmp_path / str(len(said)), **options)
        assert said in caught.value.problem.detail


def test_the_output_layer_is_found_behind_a_norm() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(8, 8), nn.Linear(8, CLASSES)
            self.norm = nn.LayerNorm(CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.norm(self.two(torch.relu(self.one(x.squeeze(1).mean(1)))))
            return out

    assert output_layers(lifted(Normed).graph) == {"two"}


def _channels(net: type[nn.Module] = Cnn) -> Channels:
    return Channels(lifted(net))


def test_lamp_is_the_share_of_what_is_no_smaller() -> None:
    channels = _channels()
    sizes, found = channels.importance(2), lamp(channels)
    for group in channels.groups:
        units = group.units.tolist()
        for unit in units:
            rivals = sum(sizes[other] for other in units if sizes[other] >= sizes[unit])
            assert found[unit] == pytest.approx(sizes[unit] / rivals)
        assert max(found[unit] for unit in units) == pytest.approx(1.0)


def test_the_scale_of_the_norms_decides_where_there_are_norms() -> None:
    model = lifted(Cnn)
    with torch.no_grad():
        for name in ("stem.1", "block.1"):
            model.graph.get_submodule(name).weight.copy_(torch.arange(1.0, 17.0))
    channels = Channels(model)
    found, sizes = bn_scale(channels), channels.importance(2)
    stem = next(group for group in channels.groups if "stem.0" in group.layers)
    hidden = next(group for group in channels.groups if "hidden" in group.layers)
    assert [found[unit] for unit in stem.units.tolist()] == pytest.approx(list(range(1, 17)))
    assert all(found[unit] == sizes[unit] for unit in hidden.units.tolist())


def test_the_report_says_where_no_norm_has_a_scale(tmp_path: Path) -> None:
    ctx = opened(job_folder(tmp_path, [{"kind": "prune.channel", "importance": "bn_scale"}], net=Mlp))
    channel.apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    ctx.events.close()
    assert ctx.notes[0] == "No norm with a scale is behind layers.1: the norm of the weights is taken instead."


def test_what_is_left_is_not_rounded_to_nothing(tmp_path: Path) -> None:
    with pytest.raises(PithError, match=r"no pruning leaves 0\.1% of the macs: .*; lower pruning_ratio or round_to\."):
        pruned(tmp_path, Cnn, target="macs", pruning_ratio=0.999)


def test_taylor_is_the_square_of_the_change_that_the_gradient_foretells(tmp_path: Path) -> None:
    step = {"kind": "prune.channel", "importance": "taylor", "samples": 64}
    ctx = opened(job_folder(tmp_path, [step], net=Mlp))
    model = ctx.baseline.copy()
    channels = Channels(model)
    found = taylor(channels, 64, ctx)
    split = ctx.training_data(labels=True)
    rows = torch.randperm(len(split), generator=generator(0, 0, 0))[:64].numpy()
    (x,), y = split.inputs(rows, (torch.float32,)), split.labels(rows)
    first, last = (model.graph.get_submodule(f"layers.{index}") for index in (1, 3))
    functional.cross_entropy(model.graph(x), y).backward()
    (group,) = channels.groups
    inward, outward = (
        (layer.weight * layer.weight.grad).detach().double().sum(dim) for layer, dim in ((first, 1), (last, 0))
    )
    wanted = ((inward + outward) / 2) ** 2
    ctx.events.close()
    assert [found[unit] for unit in group.units.tolist()] == pytest.approx(wanted.tolist(), rel=1e-4)


def cost_without(model: Model, units: set[int], target: str) -> float:
    trial = model.copy()
    Channels(trial).remove(units)
    return macs_of(trial) if target == "macs" else sum(each.numel() for each in trial.graph.parameters())


@pytest.mark.parametrize("net", [Cnn, _Grouped])
@pytest.mark.parametrize("target", ["macs", "parameters"])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("round_to", [1, 4])
@pytest.mark.parametrize("part", [0.3, 0.6])
def test_nothing_goes_in_vain_for_a_target(
    net: type[nn.Module], target: str, scope: str, round_to: int, part: float
) -> None:
    model, config = lifted(net), PruneChannel.model_validate({"target": target, "scope": scope, "round_to": round_to})
    channels = Channels(model)
    scores, sizes = channels.importance(2), {group.key: len(group.units) for group in channels.groups}
    goal, order = cost_without(model, set(), target) * (1 - part), portions(channels.groups, scores, sizes, config)
    cost = cost_of(target, None)  # type: ignore[arg-type]
    units = least_gone(target, goal, cost, model, set(), order)
    assert units is not None
    spent = cost_without(model, units, target)
    assert spent <= goal
    for group in channels.groups:
        gone = [unit for unit in ranked(group, scores) if unit in units]
        assert gone == ranked(group, scores)[: len(gone)]
        assert len(gone) % unit_step(group, round_to) == 0
        if gone and spent < 0.99 * goal:
            assert cost_without(model, units - set(gone[-unit_step(group, round_to) :]), target) > goal


@pytest.mark.parametrize("iterations", [1, 3])
def test_a_target_is_met_from_below_in_parts_too(iterations: int, tmp_path: Path) -> None:
    options = {"target": "macs", "scope": "global", "pruning_ratio": 0.6, "round_to": 4, "iterations": iterations}
    before, after = pruned(tmp_path, Wide, **options)
    assert 0.39 < macs_of(after) / macs_of(before) <= 0.4


def test_a_width_that_is_no_multiple_becomes_one_first() -> None:
    group, scores = Group({"ten": 1}, np.arange(10)), {unit: float(unit) for unit in range(10)}
    found = portions([group], scores, {"ten": 10}, PruneChannel(round_to=4))
    assert [each.units for each in found] == [(0, 1), (2, 3, 4, 5)]


def test_of_the_whole_model_a_tenth_stays_in_every_group() -> None:
    group = Group({"wide": 1}, np.arange(100))
    sizes, config = {"wide": 100}, PruneChannel(scope="global", round_to=4)
    found = portions([group], dict.fromkeys(range(100), 1.0), sizes, config)
    assert sum(len(each.units) for each in found) == 88


class Wide(Cnn):
    def __init__(self) -> None:
        super().__init__(128)


def test_latency_is_brought_down_by_trial(tmp_path: Path) -> None:
    before, after = pruned(tmp_path, Wide, target="latency", pruning_ratio=0.3, round_to=32)
    assert macs_of(after) < macs_of(before)


def test_a_target_that_cannot_be_reached_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PithError, match="no pruning leaves 1% of the parameters"):
        pruned(tmp_path, Cnn, target="parameters", pruning_ratio=0.99, ignore=["hidden"])


def test_random_channels_are_of_the_seed(tmp_path: Path) -> None:
    one, same, other = (
        pruned(tmp_path / name, Mlp, importance="random", **seed)[1]
        for name, seed in (("one", {}), ("same", {}), ("other", {"seed": 1}))
    )
    check_same(one, same)
    assert not torch.equal(*(each.graph.get_submodule("layers.1").weight for each in (one, other)))
