"""Points by two figures each: what is gained against what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass

from pith.figures.axes import around, feet, rules
from pith.figures.svg import WIDTH, Drawn, dot, drawing, line, path, text

_LEFT, _TOP, _HEIGHT = 46.0, 30.0, 190.0


@dataclass(frozen=True)
class Point:
    """``x`` and ``y`` with a name; ``interval`` is of ``y``."""

    label: str
    x: float
    y: float
    tone: str = "after"
    interval: tuple[float, float] | None = None


def scatter(title: str, description: str, points: Sequence[Point], x: str, y: str, *, way: Sequence[int] = ()) -> Drawn:
    """``way`` names the points, by their numbers, that a line goes through: a front, or the order of steps."""
    across, numbers = around([point.x for point in points], _LEFT + 14, WIDTH - 24, zero=True)
    heights = [value for point in points for value in (point.y, *(point.interval or ()))]
    up, marks = around(heights, _TOP + _HEIGHT, _TOP)
    places = [(across.place(point.x), up.place(point.y)) for point in points]
    parts = [*rules(up, marks, _LEFT, WIDTH), *feet(across, numbers, _TOP + _HEIGHT + 18)]
    parts.append(path([places[number] for number in way], "before", width=1.5, dash="4 3"))
    for point, (left, top) in zip(points, places, strict=True):
        if point.interval is not None:
            parts.append(line(left, up.place(point.interval[0]), left, up.place(point.interval[1]), "soft"))
        parts.append(dot(left, top, point.tone, radius=5, note=f"{point.label}: {point.x:.6g}, {point.y:.6g}"))
    taken: list[tuple[float, float]] = []
    parts += [_label(point.label, *place, taken) for point, place in zip(points, places, strict=True)]
    parts += [text(0, 12, y, tone="soft"), text(WIDTH, _TOP + _HEIGHT + 36, x, anchor="end", tone="soft")]
    return drawing(_TOP + _HEIGHT + 40, title, description, parts)


def _label(label: str, x: float, y: float, taken: list[tuple[float, float]]) -> str:
    """Beside its point, on the side that has room, and off any other label."""
    right = x < WIDTH * 0.6
    height = y - 8
    while any(abs(height - other) < 13 and abs(x - where) < 110 for where, other in taken):
        height += 14
    taken.append((x, height))
    return text(x + 8 if right else x - 8, height, label, anchor="start" if right else "end", room=150, over=True)
