"""Baseline beside result: ratios, paired differences, constraints, and what to say first."""

import math

import numpy as np

from engine.measure import Answers, Samples
from pith.job import Constraints, Verdict
from pith.report import Comparison, ConstraintResult, Measurement, MetricName

_Z = 1.959964


def compare(
    baseline: Measurement, result: Measurement, before: Answers, after: Answers, samples: Samples
) -> Comparison:
    ratio = _value(baseline, "size_bytes") / max(1.0, _value(result, "size_bytes"))
    speedup = _value(baseline, "latency_median_ms") / max(1e-9, _value(result, "latency_median_ms"))
    name = samples.quality
    if name is None or before.chosen is None or after.chosen is None:
        return Comparison(compression_ratio=ratio, speedup=speedup, quality=None)
    truth = before.chosen if samples.y is None else samples.y
    right_before, right_after = before.chosen == truth, after.chosen == truth
    lost, won = int((right_before & ~right_after).sum()), int((~right_before & right_after).sum())
    return Comparison(
        compression_ratio=ratio,
        speedup=speedup,
        quality=name,
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
    if comparison.speedup < 1:
        said.append(f"The result is {1 / comparison.speedup:.2f} times slower than its baseline.")
    if comparison.compression_ratio < 1:
        said.append(f"The result is {1 / comparison.compression_ratio:.2f} times larger than its baseline.")
    said += [
        f"{each.name} is not met: {each.value:.4g}, and the limit is {each.limit:.4g}."
        for each in constraints
        if not each.met
    ]
    said += [_trade(comparison), *_quality(comparison, baseline, result)]
    return tuple(said)


def _trade(comparison: Comparison) -> str:
    return f"{comparison.compression_ratio:.2f} times smaller, latency {comparison.speedup:.2f} times better."


def _quality(comparison: Comparison, baseline: Measurement, result: Measurement) -> list[str]:
    if comparison.quality is None:
        noise = result.get("sqnr_db")
        return [] if noise is None else [f"Outputs differ from the baseline's by noise of {noise:.1f} dB (SQNR)."]
    before, after = baseline.get(comparison.quality), result.get(comparison.quality)
    low, high = comparison.quality_drop_interval or (np.nan, np.nan)
    return [
        f"{comparison.quality} {before:.4f} → {after:.4f} on {comparison.samples} samples "
        f"(drop {comparison.quality_drop:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}; "
        f"{comparison.flipped_to_wrong} samples became wrong, {comparison.flipped_to_right} right)."
    ]


def _value(measurement: Measurement, name: MetricName) -> float:
    value = measurement.get(name)
    assert value is not None
    return value
