"""Round numbers for axes, and where a value stands between them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pith.figures.svg import line, text


@dataclass(frozen=True)
class Axis:
    """Values from ``low`` to ``high`` on the places from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return self.start + (self.end - self.start) * min(1.0, max(0.0, share))


Ends = tuple[float | None, float | None]
"""What a number can be at least and at most, such as 0 and 1 for a share; None where there is no such end."""


def around(
    values: Sequence[float],
    start: float,
    end: float,
    *,
    zero: bool = False,
    least: float = 0.0,
    within: Ends = (None, None),
) -> tuple[Axis, tuple[float, ...]]:
    """An axis that holds all values and ends at round numbers, and some five such numbers on it. It spans at ``least``
    so much, so that what is nearly equal looks nearly equal, and does not go beyond ``within``."""
    low, high = spanning(values, least=least, within=within)
    low = min(low, 0.0) if zero else low
    if not math.isfinite(high - low) or high - low <= 1e-12 * max(abs(low), abs(high)):
        half = abs(high) / 2 or 0.5
        low, high = kept(max(low - half, -1e300), min(high + half, 1e300), within)
    step = _round((high - low) / 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = [number * step for number in range(first, last + 1)]
    low, high = kept(marks[0], marks[-1], within)
    inside = tuple(mark for mark in marks if low <= mark <= high)
    return Axis(low, high, start, end), inside


def spanning(values: Sequence[float], *, least: float = 0.0, within: Ends = (None, None)) -> tuple[float, float]:
    """From the least to the greatest value, or as much further on both sides as ``least`` asks for."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    more = (least - (high - low)) / 2
    if not more > 0:
        return low, high
    bottom, top = within
    low, high = low - more, high + more
    if bottom is not None and low < bottom:
        low, high = bottom, max(high, bottom + least)
    if top is not None and high > top:
        low, high = min(low, top - least), top
    return kept(low, high, within)


def kept(low: float, high: float, within: Ends) -> tuple[float, float]:
    """Not beyond what can be; values that are there all the same are drawn at the end."""
    bottom, top = within
    return (low if bottom is None else max(low, bottom)), (high if top is None else min(high, top))


def _round(step: float) -> float:
    size = 10.0 ** math.floor(math.log10(step))
    return size * next(factor for factor in (1, 2, 2.5, 5, 10) if step <= factor * size * 1.0001)


def short(value: float) -> str:
    """A number at an axis."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}".replace("-", "−")
    if 0 < abs(value) < 1e-3:
        digits, _, power = f"{value:.1e}".partition("e")
        return f"{float(digits):g}e{int(power)}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def rules(axis: Axis, marks: Sequence[float], left: float, right: float) -> list[str]:
    """A thin line across for each mark of the vertical axis, and its number before it."""
    lines = [line(left, axis.place(mark), right, axis.place(mark)) for mark in marks]
    said = [text(left - 6, axis.place(mark) + 4, short(mark), anchor="end", tone="soft") for mark in marks]
    return lines + said


def feet(axis: Axis, marks: Sequence[float], y: float) -> list[str]:
    """The numbers under the horizontal axis."""
    return [text(axis.place(mark), y, short(mark), anchor="middle", tone="soft") for mark in marks]
