"""Baseline beside result: ratios, paired differences, constraints, and what to say first."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.measure import Answers, Samples
from pith.job import Constraints, Verdict
from pith.metrics import MetricName
from pith.report import Comparison, ConstraintResult, Measurement

# Ratios nearer to one than this are noise of the measurement, and called unchanged.
ALIKE = 0.02
# Signal to noise below this: the outputs are not the baseline's any more.
LOUD_DB = 3.0
# Above this they are close to the baseline's.
CLOSE_DB = 30.0
_Z = 1.959964
_STUDENT = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622)
_TITLES: dict[MetricName, str] = {
    "accuracy": "Accuracy",
    "agreement": "Agreement",
    "r2": "R²",
    "cosine_similarity": "Cosine similarity",
    "loss": "Loss",
}


def compare(
    baseline: Measurement, result: Measurement, before: Answers, after: Answers, samples: Samples, since: int = 0
) -> Comparison:
    """Paired: the same samples, both sets of answers. ``since`` counts the steps until the first answers were given,
    where the baseline cannot give any."""
    ratio = _value(baseline, "size_bytes") / max(1.0, _value(result, "size_bytes"))
    speedup = _value(baseline, "latency_median_ms") / max(1e-9, _value(result, "latency_median_ms"))
    name = samples.quality
    if name is None:
        return Comparison(compression_ratio=ratio, speedup=speedup, quality=None, measured_on=samples.origin)
    paired: dict[str, Any] = {"quality_since": since - 1} if since else {}
    if before is not after:
        paired |= _of_classes(before, after, samples) if samples.classes else _of_costs(before, after)
    return Comparison(
        compression_ratio=ratio,
        speedup=speedup,
        quality=name,
        measured_on=samples.origin,
        samples=len(samples),
        **paired,
    )


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


def mean_interval(differences: NDArray[np.float64]) -> tuple[float, float] | None:
    """95 % interval of the mean of paired differences, by Student's t; None for a single one."""
    count = len(differences)
    if count < 2:
        return None
    half = _student(count - 1) * float(differences.std(ddof=1)) / math.sqrt(count)
    centre = float(differences.mean())
    return centre - half, centre + half


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, by Abramowitz and Stegun 26.7.5; from the table where that is not exact."""
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z, n = _Z, freedom
    return z + (z**3 + z) / (4 * n) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)


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
