"""Baseline beside result: ratios, paired differences, constraints, and what to say first."""

import math

from engine.measure import Answers, Samples
from pith.job import Constraints, Verdict
from pith.report import Comparison, ConstraintResult, Measurement, MetricName

# Ratios nearer to one than this are noise of the measurement, and called unchanged.
ALIKE = 0.02
# Signal to noise below this: the outputs are not the baseline's any more.
LOUD_DB = 3.0
_Z = 1.959964


def compare(
    baseline: Measurement, result: Measurement, before: Answers, after: Answers, samples: Samples
) -> Comparison:
    """Paired: the same samples, both sets of answers."""
    ratio = _value(baseline, "size_bytes") / max(1.0, _value(result, "size_bytes"))
    speedup = _value(baseline, "latency_median_ms") / max(1e-9, _value(result, "latency_median_ms"))
    name = samples.quality
    if name is None or before.chosen is None or after.chosen is None:
        return Comparison(compression_ratio=ratio, speedup=speedup, quality=None, measured_on=samples.origin)
    truth = before.chosen if samples.y is None else samples.y
    right_before, right_after = before.chosen == truth, after.chosen == truth
    lost, won = int((right_before & ~right_after).sum()), int((~right_before & right_after).sum())
    return Comparison(
        compression_ratio=ratio,
        speedup=speedup,
        quality=name,
        measured_on=samples.origin,
        quality_drop=(lost - won) / len(truth),
        quality_drop_interval=paired_interval(lost, won, len(truth)),
        samples=len(truth),
        flipped_to_wrong=lost,
        flipped_to_right=won,
    )


def paired_interval(lost: int, won: int, samples: int) -> tuple[float, float]:
    """95 % interval of a difference of paired proportions: Wald, adjusted (Agresti and Min 2005)."""
    b, c, n = lost + 0.5, won + 0.5, samples + 2
    centre = (b - c) / n
    half = _Z * math.sqrt(max(0.0, b + c - (b - c) ** 2 / n)) / n
    return max(-1.0, centre - half), min(1.0, centre + half)


def check_constraints(constraints: Constraints, comparison: Comparison) -> tuple[ConstraintResult, ...]:
    """How far the result is from each constraint that was given."""
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
    return tuple(found)


def verdict_of(results: tuple[ConstraintResult, ...]) -> Verdict:
    if not results:
        return "unconstrained"
    return "met" if all(result.met for result in results) else "not_met"


def headline(
    comparison: Comparison, constraints: tuple[ConstraintResult, ...], baseline: Measurement, result: Measurement
) -> tuple[str, ...]:
    """Sentences, worst news first."""
    said = []
    if (result.get("sqnr_db") or 100.0) < LOUD_DB:
        said.append("The result's outputs have little to do with the baseline's: the noise is as loud as the signal.")
    if comparison.speedup < 1 - ALIKE:
        said.append(f"The result is {1 / comparison.speedup:.2f} times slower than its baseline.")
    if comparison.compression_ratio < 1 - ALIKE:
        said.append(f"The result is {1 / comparison.compression_ratio:.2f} times larger than its baseline.")
    said += [
        f"{each.name} is not met: {each.value:.4g}, and the limit is {each.limit:.4g}."
        for each in constraints
        if not each.met
    ]
    return (*said, *_trade(comparison), *_quality(comparison, baseline, result))


def _trade(comparison: Comparison) -> list[str]:
    parts = [
        _times(comparison.compression_ratio, "smaller", "the size unchanged"),
        _times(comparison.speedup, "faster", "the latency unchanged"),
    ]
    said = ", ".join(part for part in parts if part)
    return [said[0].upper() + said[1:] + "."] if said else []


def _times(ratio: float, word: str, unchanged: str) -> str:
    """Nothing when it got worse: that has been said first."""
    if ratio < 1 - ALIKE:
        return ""
    return unchanged if ratio < 1 + ALIKE else f"{ratio:.2f} times {word}"


def _quality(comparison: Comparison, baseline: Measurement, result: Measurement) -> list[str]:
    if comparison.quality is None:
        noise = result.get("sqnr_db")
        where = "on random inputs, as there was no data" if comparison.measured_on == "random inputs" else "on the data"
        return [] if noise is None else [f"Outputs differ from the baseline's by {noise:.1f} dB (SQNR) {where}."]
    before, after = baseline.get(comparison.quality), result.get(comparison.quality)
    low, high = comparison.quality_drop_interval or (math.nan, math.nan)
    change = -(comparison.quality_drop or 0.0)
    said = [
        f"{comparison.quality.capitalize()} {before:.4f} → {after:.4f} on {comparison.samples} samples of the "
        f"{comparison.measured_on}: {change:+.4f}, 95 % interval {-high:+.4f} to {-low:+.4f}; {_flips(comparison)}."
    ]
    if comparison.measured_on == "training inputs":
        said.append("There was no x_test, so this was measured on inputs that the job may have trained on.")
    return said


def _flips(comparison: Comparison) -> str:
    if comparison.quality == "agreement":
        return f"{comparison.flipped_to_wrong} predictions changed"
    return f"{comparison.flipped_to_wrong} samples became wrong, {comparison.flipped_to_right} right"


def _value(measurement: Measurement, name: MetricName) -> float:
    value = measurement.get(name)
    assert value is not None
    return value
