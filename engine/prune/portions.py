"""In which order channels go: a portion of a group at a time, so large that every layer's width stays a multiple."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.prune.channels import Group
from pith.techniques.prune.channel import PruneChannel

_LEAST_LEFT = 0.1


@dataclass(frozen=True)
class Portion:
    """Units of a group that go at once. ``place`` orders them: those of one group from the least important on."""

    group: str
    units: tuple[int, ...]
    place: tuple[float, ...]


def portions(
    groups: Sequence[Group], scores: Mapping[int, float], sizes: Mapping[str, int], config: PruneChannel
) -> list[Portion]:
    """All that may go, first what is to go first; ``sizes`` are the units that each group had at first.

    Of the whole model the least important, or the one after which the parts that the groups have lost are most alike.
    """
    found = [each for group in groups for each in _of(group, scores, sizes.get(group.key, len(group.units)), config)]
    return sorted(found, key=lambda portion: (*portion.place, portion.group))


def _of(group: Group, scores: Mapping[int, float], size: int, config: PruneChannel) -> Iterator[Portion]:
    units, step, worth = ranked(group, scores), unit_step(group, config.round_to), _worth(group, scores, config)
    least = max(step, math.ceil(size * _LEAST_LEFT)) if config.scope == "global" else step
    start, end = 0, len(units) % step or step
    while len(units) - end >= least:
        going = tuple(units[start:end])
        mean = sum(worth[unit] for unit in going) / len(going)
        lost = (size - len(units) + (start + end) / 2) / size
        yield Portion(group.key, going, (mean, lost) if config.scope == "global" else (lost, mean))
        start, end = end, end + step


def unit_step(group: Group, round_to: int) -> int:
    """How many units at a time keep every layer's width a multiple."""
    return math.lcm(*(round_to // math.gcd(round_to, count) for count in group.layers.values()))


def ranked(group: Group, scores: Mapping[int, float]) -> list[int]:
    """The group's units, the least important first."""
    return sorted(group.units.tolist(), key=lambda unit: (scores[unit], unit))


def _worth(group: Group, scores: Mapping[int, float], config: PruneChannel) -> dict[int, float]:
    """Scores that compare across groups: LAMP's do as they are, others are measured by the mean of their group."""
    units = group.units.tolist()
    mean = sum(scores[unit] for unit in units) / len(units) or 1.0
    scale = 1.0 if config.importance == "lamp" else mean
    return {unit: scores[unit] / scale for unit in units}
