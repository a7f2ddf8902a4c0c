"""Baseline beside result: ratios, paired differences, constraints, and what to say first."""

import math
from typing import Any

from engine.intervals import Interval, mean_interval, paired_interval
from engine.measure import Answers, Samples
from pith.job import Constraints, Verdict
from pith.metrics import MetricName
from pith.report import Comparison, ConstraintResult, Measurement, StepChange

# Ratios nearer to one than this are noise of the measurement, and called unchanged.
ALIKE = 0.02
# More memory than this, in both ways, is worth a word.
MORE_MEMORY, MORE_BYTES = 1.1, 1 << 20
# Signal to noise below this: the outputs are not the baseline's any more.
LOUD_DB = 3.0
# Above this they are close to the baseline's.
CLOSE_DB = 30.0
_TITLES: dict[MetricName, str] = {
    "accuracy": "Accuracy",
    "agreement": "Agreement",
    "r2": "R²",
    "cosine_similarity": "Cosine similarity",
    "loss": "Loss",
}


def compare(
    baseline: Measurement,
    result: Measurement,
    before: Answers,
    after: Answers,
    samples: Samples,
    since: int = 0,
    speedup_interval: Interval | None = None,
) -> Comparison:
    """Paired: the same samples, both sets of answers. ``since`` counts the steps until the first answers were given,
    where the baseline cannot give any."""
    ratio = _value(baseline, "size_bytes") / max(1.0, _value(result, "size_bytes"))
    speedup = _value(baseline, "latency_median_ms") / max(1e-9, _value(result, "latency_median_ms"))
    paired: dict[str, Any] = {}
    if samples.quality is not None:
        paired = {"samples": len(samples)} | ({"quality_since": since - 1} if since else {})
        if before is not after:
            paired |= _of_classes(before, after, samples) if samples.classes else _of_costs(before, after)
    return Comparison(
        compression_ratio=ratio,
        speedup=speedup,
        speedup_interval=speedup_interval,
        quality=samples.quality,
        measured_on=samples.origin,
        **paired,
    )


def step_change(
    before: Measurement,
    after: Measurement,
    said_before: Answers | None,
    said_after: Answers | None,
    samples: Samples,
    speedup: Interval,
) -> StepChange:
    """One step. What a model said is None where it meant something else."""
    paired: dict[str, Any] = {}
    if said_before is not None and said_after is not None and samples.quality is not None:
        of = (said_before, said_after)
        paired = _of_classes(*of, samples) if samples.classes else _of_costs(*of)
    ratio = _value(before, "latency_median_ms") / max(1e-9, _value(after, "latency_median_ms"))
    return StepChange(speedup=ratio, speedup_interval=speedup, **paired)


def _of_classes(before: Answers, after: Answers, samples: Samples) -> dict[str, Any]:
    assert before.chosen is not None and after.chosen is not None
    truth = before.chosen if samples.split.y is None else samples.split.y
    right_before, right_after = before.chosen == truth, after.chosen == truth
    lost, won = int((right_before & ~right_after).sum()), int((~right_before & right_after).sum())
    return {
        "quality_drop": (lost - won) / len(truth),
        "quality_drop_interval": paired_interval(lost, won, len(truth)),
        "flipped_to_wrong": lost,
        "flipped_to_right": won,
    }


def _of_costs(before: Answers, after: Answers) -> dict[str, Any]:
    """The metric is the mean of the costs, or one less it, so its drop is the mean of their paired differences."""
    assert before.costs is not None and after.costs is not None
    differences = after.costs - before.costs
    return {"quality_drop": float(differences.mean()), "quality_drop_interval": mean_interval(differences)}


def check_constraints(constraints: Constraints, comparison: Comparison) -> tuple[ConstraintResult, ...]:
    """How far the result is from each constraint that was given, and which of them binds."""
    found = []
    if constraints.max_metric_drop is not None and comparison.quality_drop is not None:
        limit, value = constraints.max_metric_drop, comparison.quality_drop
        # A drop of k samples in n is not a float that compares well with its limit.
        met = value <= limit + 1e-12
        found.append(ConstraintResult(name="max_metric_drop", limit=limit, value=value, met=met, margin=limit - value))
    for name, wanted, value in (
        ("min_compression_ratio", constraints.min_compression_ratio, comparison.compression_ratio),
        ("min_speedup", constraints.min_speedup, comparison.speedup),
    ):
        if wanted is not None:
            found.append(
                ConstraintResult(name=name, limit=wanted, value=value, met=value >= wanted, margin=value - wanted)
            )
    binding = min(found, key=_share_left, default=None)
    return tuple(each.model_copy(update={"binds": each is binding}) for each in found)


def _share_left(result: ConstraintResult) -> float:
    """The margin as a share of the limit; of a limit of zero there is no share, and nothing binds like it."""
    if result.limit == 0:
        return -math.inf if result.margin <= 0 else math.inf
    return result.margin / result.limit


def verdict_of(results: tuple[ConstraintResult, ...]) -> Verdict:
    if not results:
        return "unconstrained"
    return "met" if all(result.met for result in results) else "not_met"


def headline(
    comparison: Comparison,
    constraints: tuple[ConstraintResult, ...],
    baseline: Measurement,
    result: Measurement,
    before: Measurement | None = None,
) -> tuple[str, ...]:
    """Sentences, worst news first. ``before`` is where quality is counted from, if that is not the baseline."""
    said = []
    if (result.get("sqnr_db") or 100.0) < LOUD_DB:
        said.append("The result's outputs have little to do with the baseline's: the noise is as loud as the signal.")
    said += [*_slower(comparison, baseline, result), *_larger(comparison, baseline, result)]
    said += [_not_met(each) for each in constraints if not each.met]
    said += [_unsure(each, comparison) for each in constraints if each.met and _may_be_missed(each, comparison)]
    return (*said, *_trade(comparison), *_quality(comparison, before or baseline, result))


def _slower(comparison: Comparison, baseline: Measurement, result: Measurement) -> list[str]:
    """With one sample and one thread; where that is not so, wherever else it is slowest."""
    if _certain(comparison) and comparison.speedup < 1 - ALIKE:
        return [f"The result is {1 / comparison.speedup:.2f} times slower than its baseline."]
    before = {(each.threads, each.batch_size): each for each in baseline.timings}
    pairs = [(before.get((each.threads, each.batch_size)), each) for each in result.timings[1:]]
    slower = [(old, new) for old, new in pairs if old and old.median_interval_ms[1] < new.median_interval_ms[0]]
    old, new = max(slower, key=lambda pair: pair[1].median_ms / pair[0].median_ms, default=(None, None))
    if old is None or new is None or new.median_ms * (1 - ALIKE) < old.median_ms:
        return []
    where = f"{_counted(new.threads, 'thread')} and {_counted(new.batch_size, 'sample')} at once"
    return [f"With {where} the result is {new.median_ms / old.median_ms:.2f} times slower than its baseline."]


def _larger(comparison: Comparison, baseline: Measurement, result: Measurement) -> list[str]:
    said = []
    if comparison.compression_ratio < 1 - ALIKE:
        said.append(f"The result is {1 / comparison.compression_ratio:.2f} times larger than its baseline.")
    before, after = baseline.get("peak_memory_bytes"), result.get("peak_memory_bytes")
    if before and after and after > MORE_MEMORY * before and after - before > MORE_BYTES:
        said.append(f"It takes {after / before:.2f} times the memory of its baseline while it runs.")
    return said


def _not_met(result: ConstraintResult) -> str:
    off = f"{'over' if result.name.startswith('max') else 'short of'} it by {-result.margin:.4g}"
    return f"{result.name} is not met: {result.value:.4g}, and the limit is {result.limit:.4g}, {off}."


def _may_be_missed(result: ConstraintResult, comparison: Comparison) -> bool:
    """Whether the interval of what was lost reaches beyond what may be."""
    interval = comparison.quality_drop_interval
    return result.name == "max_metric_drop" and interval is not None and interval[1] > result.limit


def _unsure(result: ConstraintResult, comparison: Comparison) -> str:
    assert comparison.quality_drop_interval is not None
    return (
        f"{result.name} is met by what was measured, and {comparison.samples} samples cannot tell for sure: the drop "
        f"may be {comparison.quality_drop_interval[1]:.4g} (95 % interval), and the limit is {result.limit:.4g}."
    )


def _trade(comparison: Comparison) -> list[str]:
    faster = _times(comparison.speedup, "faster", "the latency unchanged")
    low, high = comparison.speedup_interval or (1.0, 1.0)
    if not _certain(comparison):
        faster = "the latency unchanged"
    if not _certain(comparison) and max(1 - low, high - 1) > ALIKE:
        faster = f"the latency unchanged as far as can be told (95 % interval {low:.2f} to {high:.2f} times as fast)"
    parts = [_times(comparison.compression_ratio, "smaller", "the size unchanged"), faster]
    said = ", ".join(part for part in parts if part)
    return [said[0].upper() + said[1:] + "."] if said else []


def _certain(comparison: Comparison) -> bool:
    """Whether it is faster or slower, for all that is known."""
    interval = comparison.speedup_interval
    return interval is None or not interval[0] <= 1 <= interval[1]


def _times(ratio: float, word: str, unchanged: str) -> str:
    """Nothing when it got worse: that has been said first."""
    if ratio < 1 - ALIKE:
        return ""
    return unchanged if ratio < 1 + ALIKE else f"{ratio:.2f} times {word}"


def _quality(comparison: Comparison, baseline: Measurement, result: Measurement) -> list[str]:
    if comparison.quality is None:
        return _of_outputs(result.get("sqnr_db"), comparison)
    before, after = baseline.get(comparison.quality), result.get(comparison.quality)
    where = f"on {comparison.samples} samples of the {comparison.measured_on}"
    said = [f"{_TITLES[comparison.quality]} {before:.4f} → {after:.4f} {where}: {_change(comparison)}."]
    if comparison.quality_since is not None:
        said = _since(comparison, said[0], f"{_TITLES[comparison.quality]} {after:.4f} {where}")
    if comparison.measured_on == "training inputs":
        said.append("There was no x_test, so this was measured on inputs that the job may have trained on.")
    return said


def _of_outputs(sqnr: float | None, comparison: Comparison) -> list[str]:
    if sqnr is None:
        return []
    where = "on random inputs, as there was no data" if comparison.measured_on == "random inputs" else "on the data"
    scale = f"more is closer: above {CLOSE_DB:g} is close, below {LOUD_DB:g} is another model"
    return [f"Outputs match the baseline's to {sqnr:.1f} dB of signal to noise (SQNR; {scale}), {where}."]


def _since(comparison: Comparison, changed: str, alone: str) -> list[str]:
    """For outputs that the uploaded model did not have."""
    step = f"recipe[{comparison.quality_since}]"
    if comparison.quality_drop is None:
        return [f"{alone}; the baseline cannot be asked, its outputs are not those that {step} made."]
    return [f"{changed} The first number is of the model after {step}, which gave it these outputs."]


def _change(comparison: Comparison) -> str:
    """The change of the metric itself: a drop is a fall, but of a loss it is a rise."""
    sign = 1.0 if comparison.quality == "loss" else -1.0
    said = f"{sign * (comparison.quality_drop or 0.0) + 0.0:+.4f}"
    if comparison.quality_drop_interval is not None:
        low, high = sorted(sign * bound + 0.0 for bound in comparison.quality_drop_interval)
        said += f", 95 % interval {low:+.4f} to {high:+.4f}"
    return f"{said}; {_flips(comparison)}" if comparison.quality in ("accuracy", "agreement") else said


def _flips(comparison: Comparison) -> str:
    if comparison.quality == "agreement":
        return f"{_counted(comparison.flipped_to_wrong, 'prediction')} changed"
    return f"{_counted(comparison.flipped_to_wrong, 'sample')} became wrong, {comparison.flipped_to_right} right"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _value(measurement: Measurement, name: MetricName) -> float:
    value = measurement.get(name)
    assert value is not None
    return value
