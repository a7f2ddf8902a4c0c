"""Structured pruning over the channels that depend on one another (Fang et al. 2023, arXiv 2301.12900).

Layers that produce the output, layers that the caller names, and layers whose channels are tied to constants in the
graph (attention heads, reshapes into parts) are left alone; ``engine.prune.map`` says which and why.
"""

import math
from collections.abc import Iterable
from fnmatch import filter as fnmatch_filter

from engine.context import Context
from engine.model import Model
from engine.prune.channels import Channels, Group
from engine.prune.map import width
from engine.prune.proof import proven
from engine.train import train
from pith.techniques.prune.channel import PruneChannel

_LEAST_LEFT = 0.1


def apply(model: Model, config: PruneChannel, ctx: Context) -> Model:
    ignore = _named(model, config, ctx)
    channels = proven(model, ignore)
    widths = ctx.memo.setdefault("widths", _widths(model))
    sizes = ctx.memo.setdefault("units", {group.key: len(group.units) for group in channels.groups})
    if not sizes:
        raise ctx.inapplicable("no layer has channels that may be removed", config.without_layers())
    for phase in ctx.phases(config.iterations):
        if not ctx.resuming:
            channels = proven(model, ignore) if phase else channels
            channels.remove(chosen(channels, config, sizes, phase))
            ctx.events.emit("metric", "channels left", widths=_widths(model))
        if config.recovery:
            train(model, ctx.training_data(labels=True), config.recovery, ctx.objective().loss, ctx)
    if _widths(model) == widths:
        raise ctx.inapplicable(
            f"no layer is wide enough to lose {config.pruning_ratio:.0%} and stay a multiple of {config.round_to}",
            "raise pruning_ratio or lower round_to",
        )
    return model


def chosen(channels: Channels, config: PruneChannel, sizes: dict[str, int], phase: int = 0) -> set[int]:
    """The units that go in this phase; ``sizes`` are the units that each group had at first."""
    importance = channels.importance(1 if config.importance == "l1" else 2)
    targets = {group.key: _target(group, sizes.get(group.key, 0), config, phase) for group in channels.groups}
    if config.scope == "layer":
        left = {key: max(count, 0) for key, count in targets.items()}
    else:
        left = _left_globally(channels.groups, importance, targets, config.round_to)
    return {unit for group in channels.groups for unit in _least(group, importance, len(group.units) - left[group.key])}


def _named(model: Model, config: PruneChannel, ctx: Context) -> set[str]:
    """The layers that the caller wants left alone; a pattern that names none is a mistake, and never a silent one."""
    names = [name for name, _ in model.layers()]
    for pattern in config.ignore:
        if not fnmatch_filter(names, pattern):
            shown = ", ".join(names[:40]) + (", …" if len(names) > 40 else "")
            raise ctx.inapplicable(f"ignore has {pattern!r}, which matches no layer", f"name some of {shown}")
    return {name for pattern in config.ignore for name in fnmatch_filter(names, pattern)}


def _widths(model: Model) -> dict[str, int]:
    return {name: width(module) for name, module in model.layers()}


def _unit_step(group: Group, round_to: int) -> int:
    """How many units at a time keep every layer's width a multiple."""
    return math.lcm(*(round_to // math.gcd(round_to, count) for count in group.layers.values()))


def _target(group: Group, size: int, config: PruneChannel, phase: int) -> int:
    """Units that the group shall have after this phase."""
    ratio = config.pruning_ratio * (phase + 1) / config.iterations
    step = _unit_step(group, config.round_to)
    return min(len(group.units), max(step, round(size * (1 - ratio) / step) * step))


def _least(group: Group, importance: dict[int, float], count: int) -> list[int]:
    return sorted(group.units.tolist(), key=lambda unit: (importance[unit], unit))[: max(count, 0)]


def _left_globally(
    groups: Iterable[Group], importance: dict[int, float], targets: dict[str, int], round_to: int
) -> dict[str, int]:
    """As many go as the targets say in sum, the least important of all, each group measured by its own mean."""
    groups = list(groups)
    worth = {}
    for group in groups:
        mean = sum(importance[unit] for unit in group.units.tolist()) / len(group.units) or 1.0
        worth.update({unit: (importance[unit] / mean, group.key) for unit in group.units.tolist()})
    total = sum(len(group.units) - targets[group.key] for group in groups)
    gone = [key for _, key in sorted(worth.values())[:total]]
    left = {}
    for group in groups:
        step, size = _unit_step(group, round_to), len(group.units)
        rest = max(size - gone.count(group.key), math.ceil(size * _LEAST_LEFT))
        left[group.key] = min(size, max(step, round(rest / step) * step))
    return left
