"""Structured pruning over the channels that depend on one another (Fang et al. 2023, arXiv 2301.12900).

Layers that produce the output, layers that the caller names, and layers whose channels are tied to constants in the
graph (attention heads, reshapes into parts) are left alone; ``engine.prune.map`` says which and why.
"""

import math
from collections.abc import Iterable

from engine.context import Context
from engine.model import Model
from engine.prune.channels import Channels, Group
from engine.prune.goal import TRIALS, cost_of, ratio_for
from engine.prune.importance import importance
from engine.prune.map import width
from engine.prune.proof import proven
from engine.selected import ignored
from engine.train import train
from pith.techniques.prune.channel import PruneChannel

_LEAST_LEFT = 0.1


def apply(model: Model, config: PruneChannel, ctx: Context) -> Model:
    ignore = ignored((name for name, _ in model.layers()), config.ignore, ctx)
    channels = proven(model, ignore)
    widths = ctx.memo.setdefault("widths", _widths(model))
    sizes = ctx.memo.setdefault("units", {group.key: len(group.units) for group in channels.groups})
    if not sizes:
        raise ctx.inapplicable("no layer has channels that may be removed", config.without_layers())
    for phase in ctx.phases(config.iterations):
        if not ctx.resuming:
            channels = proven(model, ignore) if phase else channels
            channels.remove(_leaving(channels, config, sizes, ignore, ctx))
            ctx.events.emit("metric", "channels left", widths=_widths(model))
        if config.recovery:
            train(model, ctx.training_data(labels=True), config.recovery, ctx.objective().loss, ctx)
    if _widths(model) == widths:
        raise ctx.inapplicable(
            f"no layer is wide enough to lose {config.pruning_ratio:.0%} and stay a multiple of {config.round_to}",
            "raise pruning_ratio or lower round_to",
        )
    return model


def _leaving(
    channels: Channels, config: PruneChannel, sizes: dict[str, int], ignore: set[str], ctx: Context
) -> set[int]:
    """The units that go in this phase: so many channels, or so many that the target is reached."""
    scores = importance(channels, config, ctx)
    part = config.pruning_ratio * (ctx.phase + 1) / config.iterations
    if config.target == "channels":
        return chosen(channels, config, scores, sizes, part)
    cost = cost_of(config.target, ctx)
    before = ctx.memo.setdefault("cost", cost(channels.model))

    def units_at(ratio: float) -> set[int]:
        return chosen(channels, config, scores, sizes, ratio)

    goal = before * (1 - part)
    ratio = ratio_for(goal, cost, channels.model, ignore, units_at, TRIALS[config.target])
    if ratio is None:
        raise ctx.inapplicable(*config.unreachable(part))
    return units_at(ratio)


def chosen(
    channels: Channels, config: PruneChannel, scores: dict[int, float], sizes: dict[str, int], ratio: float
) -> set[int]:
    """The units that go for a part of the channels; ``sizes`` are the units that each group had at first."""
    targets = {group.key: _target(group, sizes.get(group.key, 0), config, ratio) for group in channels.groups}
    if config.scope == "layer":
        left = {key: max(count, 0) for key, count in targets.items()}
    else:
        left = _left_globally(channels.groups, scores, targets, config)
    return {unit for group in channels.groups for unit in _least(group, scores, len(group.units) - left[group.key])}


def _widths(model: Model) -> dict[str, int]:
    return {name: width(module) for name, module in model.layers()}


def _unit_step(group: Group, round_to: int) -> int:
    """How many units at a time keep every layer's width a multiple."""
    return math.lcm(*(round_to // math.gcd(round_to, count) for count in group.layers.values()))


def _target(group: Group, size: int, config: PruneChannel, ratio: float) -> int:
    """Units that the group shall have when this part of the channels is gone."""
    step = _unit_step(group, config.round_to)
    return min(len(group.units), max(step, round(size * (1 - ratio) / step) * step))


def _least(group: Group, scores: dict[int, float], count: int) -> list[int]:
    return sorted(group.units.tolist(), key=lambda unit: (scores[unit], unit))[: max(count, 0)]


def _left_globally(
    groups: Iterable[Group], scores: dict[int, float], targets: dict[str, int], config: PruneChannel
) -> dict[str, int]:
    """As many go as the targets say in sum, the least important of all. LAMP's numbers compare across layers as they
    are; others are measured by the mean of their group."""
    groups = list(groups)
    worth = {}
    for group in groups:
        mean = sum(scores[unit] for unit in group.units.tolist()) / len(group.units) or 1.0
        scale = 1.0 if config.importance == "lamp" else mean
        worth.update({unit: (scores[unit] / scale, group.key) for unit in group.units.tolist()})
    total = sum(len(group.units) - targets[group.key] for group in groups)
    gone = [key for _, key in sorted(worth.values())[:total]]
    left = {}
    for group in groups:
        step, size = _unit_step(group, config.round_to), len(group.units)
        rest = max(size - gone.count(group.key), math.ceil(size * _LEAST_LEFT))
        left[group.key] = min(size, max(step, round(rest / step) * step))
    return left
