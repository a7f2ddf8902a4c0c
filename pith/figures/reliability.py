"""A reliability diagram: how often answers are right, beside how sure they were of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from pith.figures.axes import Axis, feet, rules
from pith.figures.svg import WIDTH, Drawn, box, drawing, line, text

_LEFT, _TOP, _HEIGHT, _COUNTS = 46.0, 8.0, 190.0, 36.0
_MARKS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Bin:
    """Answers whose confidence lies between ``low`` and ``high``."""

    low: float
    high: float
    samples: int
    confidence: float | None
    accuracy: float | None


def reliability(title: str, description: str, bins: Sequence[Bin], tone: str = "after") -> Drawn:
    """On the dashed line confidence means what it says. What is missing to it is drawn, and the number of samples."""
    foot = _TOP + _HEIGHT
    across, up = Axis(0.0, 1.0, _LEFT, WIDTH - 10), Axis(0.0, 1.0, foot, _TOP)
    parts = rules(up, _MARKS, _LEFT, WIDTH - 10)
    most = max((each.samples for each in bins), default=0) or 1
    for each in bins:
        parts += _bin(each, across, up, most, tone)
    parts.append(line(across.place(0), up.place(0), across.place(1), up.place(1), "ink", dash="4 3"))
    base = foot + _COUNTS + 6
    parts += [*feet(across, _MARKS, base + 16), text(WIDTH - 10, base + 32, "confidence", anchor="end", tone="soft")]
    parts.append(text(_LEFT - 6, foot + _COUNTS, "count", anchor="end", tone="soft"))
    return drawing(base + 36, title, description, parts)


def _bin(each: Bin, across: Axis, up: Axis, most: int, tone: str) -> list[str]:
    left, right, foot = across.place(each.low) + 1, across.place(each.high) - 1, up.place(0)
    height = _COUNTS * each.samples / most
    parts = [box(left, foot + 4, right - left, height, "before", note=f"{each.samples} samples")]
    if each.accuracy is None or each.confidence is None:
        return parts
    right_share, sure = up.place(each.accuracy), up.place(each.confidence)
    note = f"confidence {each.confidence:.3f}, right {each.accuracy:.3f}, {each.samples} samples"
    top, bottom = min(right_share, sure), max(right_share, sure)
    parts.append(box(left, right_share, right - left, foot - right_share, tone, opacity=0.85, note=note))
    if bottom - top > 0.5:
        lean = "bad" if each.confidence > each.accuracy else "cold"
        parts.append(box(left, top, right - left, bottom - top, lean, opacity=0.45))
    return parts
