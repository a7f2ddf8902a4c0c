"""Bars that lie: a name and a number above each, in two lines where one has no room for both."""

from collections.abc import Sequence
from dataclasses import dataclass

from pith.figures.svg import LETTER, WIDTH, Drawn, box, drawing, line, text

_HEAD, _GAP = 17.0, 14.0


@dataclass(frozen=True)
class Length:
    """One bar, by a value from 0 up; ``interval`` is drawn across its end."""

    value: float | None
    tone: str = "after"
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Bar:
    """What is said above, and the bars under it, one below the other."""

    label: str
    shown: str
    lengths: tuple[Length, ...]


def bars(title: str, description: str, rows: Sequence[Bar], longest: float | None = None) -> Drawn:
    """``longest`` is the value of a bar over the whole width; without it the largest there is."""
    values = [value for row in rows for length in row.lengths for value in _reaches(length)]
    whole = longest or max(values, default=0.0) or 1.0
    parts, y = [], 0.0
    for row in rows:
        parts += _row(row, y, whole)
        y += _head(row) + _thick(row) * len(row.lengths) + _GAP
    return drawing(max(y - _GAP, 1.0) + 2, title, description, parts)


def _reaches(length: Length) -> list[float]:
    return [each for each in (length.value, *(length.interval or ())) if each is not None]


def _thick(row: Bar) -> float:
    return 9.0 if len(row.lengths) == 1 else 7.0


def _head(row: Bar) -> float:
    """Two lines for what one does not hold."""
    return _HEAD if LETTER * (len(row.label) + len(row.shown) + 2) <= WIDTH else 2 * _HEAD - 2


def _row(row: Bar, y: float, whole: float) -> list[str]:
    head = _head(row)
    parts = [
        text(0, y + 12, row.label, room=WIDTH * 0.86),
        text(WIDTH, y + head - 5, row.shown, anchor="end", tone="soft"),
    ]
    for number, length in enumerate(row.lengths):
        parts += _bar(length, y + head + number * _thick(row), _thick(row), whole)
    return parts


def _bar(length: Length, y: float, thick: float, whole: float) -> list[str]:
    parts = [box(0, y, WIDTH, thick - 1, "line", opacity=0.35)]
    if length.value is not None:
        width = WIDTH * min(1.0, max(0.0, length.value) / whole)
        parts.append(box(0, y, max(width, 1.0), thick - 1, length.tone))
    if length.interval is not None:
        low, high = (WIDTH * min(1.0, max(0.0, each) / whole) for each in length.interval)
        middle = y + (thick - 1) / 2
        parts.append(line(low, middle, high, middle, "ink", width=1.2))
        parts += [line(each, y - 0.5, each, y + thick - 0.5, "ink", width=1.2) for each in (low, high)]
    return parts
