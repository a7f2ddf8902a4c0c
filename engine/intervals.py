"""95 % confidence intervals of what is measured: of means, shares, medians, and of differences that are paired."""

import math

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]

_TAIL = 0.025
_Z = 1.959964
_STUDENT = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622)
_RESAMPLES = 1000


def mean_interval(numbers: NDArray[np.float64]) -> Interval | None:
    """Of the mean, by Student's t; None for a single number."""
    count = len(numbers)
    if count < 2:
        return None
    half = _student(count - 1) * float(numbers.std(ddof=1)) / math.sqrt(count)
    centre = float(numbers.mean())
    return centre - half, centre + half


def share_interval(right: int, samples: int) -> Interval:
    """Of a share (Wilson 1927)."""
    z = _Z * _Z / samples
    centre = (right / samples + z / 2) / (1 + z)
    half = math.sqrt(max(0.0, right * (samples - right) / samples**2 * z + z * z / 4)) / (1 + z)
    return max(0.0, min(centre - half, right / samples)), min(1.0, max(centre + half, right / samples))


def paired_interval(lost: int, won: int, samples: int) -> Interval:
    """Of a difference of paired shares: Wald, adjusted (Agresti and Min 2005)."""
    b, c, n = lost + 0.5, won + 0.5, samples + 2
    centre = (b - c) / n
    half = _Z * math.sqrt(max(0.0, b + c - (b - c) ** 2 / n)) / n
    return max(-1.0, centre - half), min(1.0, centre + half)


def median_interval(numbers: NDArray[np.float64]) -> Interval:
    """Of the median, by order statistics, whatever the distribution; all numbers where they are fewer than six."""
    ordered = np.sort(numbers)
    cut = _cut(len(ordered))
    return float(ordered[cut]), float(ordered[-1 - cut])


def ratio_interval(before: NDArray[np.float64], after: NDArray[np.float64]) -> Interval:
    """Of the ratio of two medians, from numbers that were taken in turn: the rounds are drawn anew (bootstrap)."""
    rounds = np.random.default_rng(0).integers(0, len(before), (_RESAMPLES, len(before)))
    ratios = np.median(before[rounds], axis=1) / np.median(after[rounds], axis=1)
    low, high = np.quantile(ratios, (_TAIL, 1 - _TAIL))
    ratio = float(np.median(before) / np.median(after))
    return min(float(low), ratio), max(float(high), ratio)


def _cut(count: int) -> int:
    """How many of so many numbers may be left out at either end."""
    total, below = 2**count, 0
    for left_out in range(count):
        below += math.comb(count, left_out)
        if below / total > _TAIL:
            return max(0, left_out - 1)
    return 0


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, by Abramowitz and Stegun 26.7.5; from the table where that is not exact."""
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z, n = _Z, freedom
    return z + (z**3 + z) / (4 * n) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
