"""The attention heads of a model: which may go, which go together, and their removal.

A head is one place of the dimension that a reshape sets apart from channels and that attention keeps apart. The graph
is followed twice: first every dimension that a reshape sets apart is taken for one, to see which of them reach
attention; then those alone, each head tied to the channels that it is made of. Keys that several queries share, a bias
for each head and the sizes in the graph follow from that. Not covered: heads that are mixed before the values are.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import fx, nn

from engine.model import Model
from engine.prune.axes import Axes, Axis, Places
from engine.prune.channels import Channels, followed
from engine.prune.trace import Attended, place_of

_BROKEN = (RuntimeError, ValueError, IndexError, KeyError, AssertionError, AttributeError, TypeError)
_ROUNDING = 1e-4
_TRIED = "the graph was tried without one of its heads and did not compute the same"


@dataclass(frozen=True)
class Attention:
    """``node`` names the node that gives the mixed values. ``units`` has a number for each head, in order, and heads
    with one number go together; there are none, and ``heads`` is 0, where they are not known. ``left_alone`` says why
    no head may go."""

    name: str
    node: str
    heads: int
    units: tuple[int, ...]
    size: int
    left_alone: str | None


@dataclass(frozen=True)
class HeadGroup:
    """Units that go from the same attentions, each of which keeps at least one of them."""

    attentions: tuple[str, ...]
    units: tuple[int, ...]

    @property
    def key(self) -> str:
        return "|".join(self.attentions)


class Heads:
    """What was found out about one model, until its shapes change. ``held`` are attentions that stay, and why."""

    def __init__(self, model: Model, held: Mapping[str, str]) -> None:
        self.channels = Channels(model, parting=_Tied(_reaching(model)))
        self.attentions = tuple(_attentions(self.channels, held))
        self.groups = _groups(self.attentions)

    def left_alone(self) -> dict[str, str]:
        """Attentions none of whose heads may go, and why."""
        return {each.name: each.left_alone for each in self.attentions if each.left_alone is not None}

    def lost(self, units: Iterable[int]) -> tuple[int, dict[str, float]]:
        """The number of parameters that go with these units, and which part of each layer's weights."""
        gone = np.isin(self.channels.labels, list(units))
        names = {id(module): name for name, module in self.channels.model.graph.named_modules()}
        parameters, parts = 0.0, {}
        for owned in self.channels.axes.tensors.values():
            part = 1 - prod(1 - gone[places].mean() for places in owned.axes if places is not None)
            parameters += part * owned.tensor.numel() if isinstance(owned.tensor, nn.Parameter) else 0
            if part and owned.tensor.ndim > 1:
                parts.update({names[id(module)]: float(part) for module, _ in owned.owners})
        return round(parameters), parts

    def remove(self, units: Iterable[int]) -> None:
        """Take these heads out of the model, in place. These Heads no longer describe it afterwards."""
        self.channels.remove(units)


def proven(model: Model, held: Mapping[str, str] | None = None) -> Heads:
    """The heads of the model without those groups whose removal, tried on a copy, changes more than zeros do."""
    heads = Heads(model, held or {})
    if not heads.groups or _agrees(model, heads, heads.groups):
        return heads
    bad = [name for group in heads.groups if not _agrees(model, heads, (group,)) for name in group.attentions]
    return Heads(model, {**(held or {}), **dict.fromkeys(bad, _TRIED)})


def _agrees(model: Model, heads: Heads, groups: tuple[HeadGroup, ...]) -> bool:
    """Whether a copy without the first head of each group gives what it gives when that head's weights are zero."""
    trial, units = model.copy(), [group.units[0] for group in groups]
    channels = Heads(trial, heads.left_alone()).channels
    channels.zero(units)
    with torch.no_grad():
        inputs = [trial.signature.tensors(batch) for batch in (2, 3)]
        wanted = [trial.run(given) for given in inputs]
        try:
            channels.remove(units)
            found = [trial.run(given) for given in inputs]
        except _BROKEN:
            return False
    same_values = not channels.normed(units)
    pairs = [pair for one, other in zip(wanted, found, strict=True) for pair in zip(one, other, strict=True)]
    return all(one.shape == other.shape and (not same_values or _close(one, other)) for one, other in pairs)


def _close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(one.double(), other.double(), rtol=_ROUNDING, atol=_ROUNDING * float(one.abs().max()))


def _attentions(channels: Channels, held: Mapping[str, str]) -> Iterable[Attention]:
    taken: set[str] = set()
    for attended in channels.attended:
        name = place_of(attended.node)
        name = f"{name}.{attended.node.name}" if name in taken else name
        taken.add(name)
        units = _units(channels, attended)
        single = len(attended.shape) > 3 and attended.shape[-3] == 1
        reason = held.get(name) or ("it has one head" if single else _reason(channels, units))
        yield Attention(name, attended.node.name, 1 if single else len(units), units, attended.shape[-1], reason)


def _units(channels: Channels, attended: Attended) -> tuple[int, ...]:
    """One number a head; nothing when no heads are set apart, or when they do not repeat in order."""
    if attended.heads is None:
        return ()
    count = len(np.unique(attended.heads))
    first = attended.heads[:count]
    whole = len(attended.heads) % count == 0
    if not whole or not np.array_equal(np.tile(first, len(attended.heads) // count), attended.heads):
        return ()
    return tuple(channels.labels[first].tolist())


def _reason(channels: Channels, units: tuple[int, ...]) -> str | None:
    if not units:
        return "it has one head, or heads that are not channels set apart by a reshape"
    held = next((channels.pinned[unit] for unit in units if unit in channels.pinned), None)
    if held is None and len(set(units)) == 1:
        return "its heads go together, and one must stay"
    return held


def _groups(attentions: Iterable[Attention]) -> tuple[HeadGroup, ...]:
    members: dict[int, list[str]] = defaultdict(list)
    held: set[int] = set()
    for attention in attentions:
        for unit in dict.fromkeys(attention.units):
            members[unit].append(attention.name)
        if attention.left_alone is not None:
            held.update(attention.units)
    found: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for unit, names in members.items():
        if unit not in held:
            found[tuple(names)].append(unit)
    return tuple(HeadGroup(names, tuple(units)) for names, units in found.items())


@dataclass(frozen=True)
class _Parted:
    """A dimension that a reshape has set apart, and what it was made of."""

    node: str
    dim: int
    axis: Places
    source: Places


class _Probe:
    """Gives every dimension that is set apart places of its own, tied to nothing."""

    def __init__(self) -> None:
        self.found: list[_Parted] = []

    def __call__(self, axes: Axes, node: fx.Node, dims: list[int], places: Places, along: list[int]) -> list[Axis]:
        result: list[Axis] = [None] * len(dims)
        for index in along:
            axis, _ = _set_apart(axes, places, index)
            result[index] = axis
            self.found.append(_Parted(node.name, dims[index], axis, places.ravel()))
        return result


@dataclass(frozen=True)
class _Tied:
    """Keeps, of the dimensions that are set apart, those that reach attention: a place goes with all it is made of."""

    reaching: frozenset[tuple[str, int]]

    def __call__(
        self, axes: Axes, node: fx.Node, dims: list[int], places: Places, along: list[int]
    ) -> list[Axis] | None:
        kept = [index for index in along if (node.name, dims[index]) in self.reaching]
        if len(kept) != 1:
            return None
        result: list[Axis] = [None] * len(dims)
        axis, rows = _set_apart(axes, places, kept[0])
        axes.tie(np.repeat(axis, rows.shape[1]), rows.ravel(), "")
        result[kept[0]] = axis
        return result


def _set_apart(axes: Axes, places: Places, dim: int) -> tuple[Places, Places]:
    """New places for one dimension, the same where it repeats itself, and what each of them is made of."""
    rows = np.moveaxis(places, dim, 0).reshape(places.shape[dim], -1)
    _, first, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return axes.fresh(len(first))[order[which.ravel()]], rows


def _reaching(model: Model) -> frozenset[tuple[str, int]]:
    """The dimensions set apart that come to be heads, directly or by being set apart again."""
    probe = _Probe()
    trace = followed(model, probe)
    labels = trace.axes.groups()
    wanted = {label for each in trace.attended if each.heads is not None for label in labels[each.heads].tolist()}
    found: set[tuple[str, int]] = set()
    waiting = list(probe.found)
    while reached := [each for each in waiting if wanted & set(labels[each.axis].tolist())]:
        waiting = [each for each in waiting if each not in reached]
        found |= {(each.node, each.dim) for each in reached}
        wanted |= {label for each in reached for label in labels[each.source].tolist()}
    return frozenset(found)
