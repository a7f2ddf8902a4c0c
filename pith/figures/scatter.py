"""Points by two figures each: what is gained against what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass

from pith.figures.axes import Ends, around, feet, rules
from pith.figures.labels import LINE, Area, drawn, named
from pith.figures.svg import WIDTH, Drawn, dot, drawing, line, path, text

_LEFT, _TOP, _HEIGHT = 46.0, 30.0, 190.0


@dataclass(frozen=True)
class Point:
    """``x`` and ``y`` with a name; ``interval`` is of ``y``. Its number stands for a name that has no room."""

    label: str
    x: float
    y: float
    tone: str = "after"
    interval: tuple[float, float] | None = None


def scatter(
    title: str,
    description: str,
    points: Sequence[Point],
    x: str,
    y: str,
    *,
    way: Sequence[int] = (),
    within: Ends = (None, None),
) -> Drawn:
    """``way`` names the points, by their numbers, that a line goes through: a front, or the order of steps. ``within``
    is what ``y`` can be."""
    across, numbers = around([point.x for point in points], _LEFT + 14, WIDTH - 24, zero=True)
    heights = [value for point in points for value in (point.y, *(point.interval or ()))]
    up, marks = around(heights, _TOP + _HEIGHT, _TOP, within=within)
    places = [(across.place(point.x), up.place(point.y)) for point in points]
    foot = _TOP + _HEIGHT
    parts = [*rules(up, marks, _LEFT, WIDTH), *feet(across, numbers, foot + 18)]
    parts.append(path([places[number] for number in way], "before", width=1.5, dash="4 3"))
    for point, (left, top) in zip(points, places, strict=True):
        if point.interval is not None:
            parts.append(line(left, up.place(point.interval[0]), left, up.place(point.interval[1]), "soft"))
        parts.append(dot(left, top, point.tone, radius=5, note=f"{point.label}: {point.x:.6g}, {point.y:.6g}"))
    frame = Area(_LEFT, _TOP - 12, WIDTH, foot - 2)
    marked = [str(number) for number, _ in enumerate(points, 1)]
    names, legend = named(places, [point.label for point in points], marked, frame)
    parts += drawn(names, places)
    parts += [text(0, 12, y, tone="soft"), text(WIDTH, foot + 36, x, anchor="end", tone="soft")]
    parts += [text(0, foot + 54 + LINE * place, each) for place, each in enumerate(legend)]
    return drawing(foot + 40 + LINE * len(legend) + (4 if legend else 0), title, description, parts)
