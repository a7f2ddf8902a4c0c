"""Further sentences of a report's headline: what disturbances take, and steps that made something worse or brought
nothing. Each is said only where the intervals carry it."""

from collections.abc import Sequence
from statistics import NormalDist

from engine.compare import ALIKE, MORE_BYTES, MORE_MEMORY
from pith.base import Step
from pith.faces import words
from pith.findings.trust import Disturbance, Trust
from pith.metrics import MetricName
from pith.report import Measurement, StepReport

_MOST = 3
_NOTHING = "Made it no smaller, no faster and, as far as can be told, no better"
_MADE_LESS: tuple[MetricName, ...] = ("size_bytes", "nonzero_parameters", "macs", "peak_memory_bytes")


def disturbed(trust: Trust | None) -> list[str]:
    """The disturbance under which most is lost beyond what is lost anyway. As it is picked out of many, its interval is
    first made as wide as all of them together ask for (Bonferroni)."""
    tried = [] if trust is None else [each for each in trust.disturbances if each.further is not None]
    certain = [each for each in tried if _certainly_more(each, len(tried))]
    worst = max(certain, key=lambda each: each.further or 0.0, default=None)
    if trust is None or worst is None:
        return []
    return [
        f"Under {words.disturbance(worst)}, it loses more than undisturbed: {worst.before:.4f} → {worst.after:.4f}, "
        f"where it is {trust.clean_before:.4f} → {trust.clean_after:.4f} without, on {trust.samples} samples."
    ]


def _certainly_more(each: Disturbance, tried: int) -> bool:
    if each.further is None or each.further_interval is None:
        return False
    wider = NormalDist().inv_cdf(1 - 0.025 / tried) / NormalDist().inv_cdf(0.975)
    return each.further > wider * (each.further - each.further_interval[0])


def of_steps(recipe: Sequence[Step], baseline: Measurement, steps: Sequence[StepReport]) -> list[str]:
    """Of a recipe with several steps; what its only step did has been said of the result."""
    if len(steps) < 2:
        return []
    before = [baseline, *(step.after for step in steps)]
    slower = [f"{_named(step)} ({1 / speed:.2f} times)" for step in steps if (speed := _slower(step)) is not None]
    held = [(step, _memory(old, step.after)) for old, step in zip(before, steps, strict=False)]
    larger = [f"{_named(step)} ({ratio:.2f} times)" for step, ratio in held if ratio > MORE_MEMORY]
    idle = [
        _named(step)
        for old, asked, step in zip(before, recipe, steps, strict=False)
        if not _prepares(recipe[step.index :]) and not asked.new_outputs() and _brought_nothing(old, step)
    ]
    said = (("Made it slower", slower), ("Made it take more memory", larger), (_NOTHING, idle))
    return [f"{what}: {'; '.join(found[:_MOST])}{_rest(found)}." for what, found in said if found]


def _rest(found: Sequence[str]) -> str:
    return f"; and {len(found) - _MOST} more" if len(found) > _MOST else ""


def _named(step: StepReport) -> str:
    return f"step {step.index + 1}, {step.kind}"


def _slower(step: StepReport) -> float | None:
    """The speedup, where it surely is none."""
    change = step.change
    sure = change is not None and change.speedup_interval[1] < 1 and change.speedup < 1 - ALIKE
    return change.speedup if change is not None and sure else None


def _memory(before: Measurement, after: Measurement) -> float:
    """How many times the memory; 1 where the difference is small, or not known."""
    old, new = before.get("peak_memory_bytes"), after.get("peak_memory_bytes")
    return new / old if old and new and new - old > MORE_BYTES else 1.0


def _prepares(rest: Sequence[Step]) -> bool:
    """Whether what the first step does to values may show only in a file that is encoded later."""
    return any("encoding" in step.changes for step in rest[1:])


def _brought_nothing(before: Measurement, step: StepReport) -> bool:
    change = step.change
    if change is None or change.quality_drop_interval is None:
        return False
    pairs = [(before.get(name), step.after.get(name)) for name in _MADE_LESS]
    less = any(old is not None and new is not None and new < old * (1 - ALIKE) for old, new in pairs)
    return not less and change.speedup_interval[0] <= 1 and change.quality_drop_interval[1] >= 0
