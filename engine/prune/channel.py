"""Structured pruning over the channels that depend on one another (Fang et al. 2023, arXiv 2301.12900).

Layers that produce the output, layers that the caller names, and layers whose channels are tied to constants in the
graph (attention heads, reshapes into parts) are left alone; ``engine.prune.map`` says which and why.
"""

from engine.context import Context
from engine.model import Model
from engine.prune.channels import Channels, Group
from engine.prune.goal import cost_of, least_gone
from engine.prune.importance import importance
from engine.prune.map import width
from engine.prune.portions import portions, ranked, unit_step
from engine.prune.proof import proven
from engine.selected import ignored
from engine.train import train
from pith.techniques.prune.channel import PruneChannel

LISTED = 10


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
        wider = any(_target(group, len(group.units), config, 1.0) < len(group.units) for group in channels.groups)
        raise ctx.inapplicable(*config.too_narrow(wider))
    ctx.note(_removed(widths, _widths(model)))
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
    goal = ctx.memo.setdefault("cost", cost(channels.model)) * (1 - part)
    order = portions(channels.groups, scores, sizes, config)
    units = least_gone(config.target, goal, cost, channels.model, ignore, order)
    if units is None:
        raise ctx.inapplicable(*config.unreachable(part))
    return units


def chosen(
    channels: Channels, config: PruneChannel, scores: dict[int, float], sizes: dict[str, int], ratio: float
) -> set[int]:
    """The units that go for a part of the channels; ``sizes`` are the units that each group had at first."""
    counts = {
        group.key: len(group.units) - _target(group, sizes.get(group.key, 0), config, ratio)
        for group in channels.groups
    }
    if config.scope == "layer":
        return {unit for group in channels.groups for unit in ranked(group, scores)[: counts[group.key]]}
    gone: set[int] = set()
    for portion in portions(channels.groups, scores, sizes, config):
        if len(gone) >= sum(counts.values()):
            break
        gone.update(portion.units)
    return gone


def _widths(model: Model) -> dict[str, int]:
    return {name: width(module) for name, module in model.layers()}


def _removed(before: dict[str, int], after: dict[str, int]) -> str:
    """What each layer has lost, of the first of them."""
    lost = [f"{name} {wide} → {after[name]}" for name, wide in before.items() if after[name] != wide]
    more = f" and {len(lost) - LISTED} more" if len(lost) > LISTED else ""
    gone, total = sum(before.values()) - sum(after.values()), sum(before.values())
    return f"Removed {gone:,} of {total:,} channels, in {len(lost)} of {len(before)} layers: " + (
        f"{', '.join(lost[:LISTED])}{more}."
    )


def _target(group: Group, size: int, config: PruneChannel, ratio: float) -> int:
    """Units that the group shall have when this part of the channels is gone."""
    step = unit_step(group, config.round_to)
    return min(len(group.units), max(step, round(size * (1 - ratio) / step) * step))
