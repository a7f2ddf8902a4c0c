"""Curves over a common axis."""

from collections.abc import Sequence
from dataclasses import dataclass

from pith.figures.axes import around, feet, rules
from pith.figures.svg import WIDTH, Drawn, dot, drawing, line, path, text

_LEFT, _TOP, _HEIGHT, _FOOT = 46.0, 26.0, 150.0, 36.0
_WAYS = (("after", ""), ("before", "5 3"), ("cold", "1 3"), ("warm", "8 3 1 3"))


@dataclass(frozen=True)
class Series:
    """One curve, its points by growing ``x``."""

    name: str
    points: tuple[tuple[float, float], ...]


def lines(title: str, description: str, series: Sequence[Series], x: str, marks: Sequence[float] = ()) -> Drawn:
    """``x`` is what the horizontal axis counts; at each of ``marks`` something new begins."""
    across, numbers = around([at for each in series for at, _ in each.points], _LEFT, WIDTH - 12)
    down, heights = around([value for each in series for _, value in each.points], _TOP + _HEIGHT, _TOP)
    foot = _TOP + _HEIGHT
    whole = [number for number in numbers if number == int(number)]
    parts = [*rules(down, heights, _LEFT, WIDTH), *feet(across, whole, foot + 16)]
    parts += [line(across.place(at), _TOP, across.place(at), foot, "soft", dash="2 3") for at in marks]
    start = _LEFT
    for number, each in enumerate(series):
        tone, dash = _WAYS[number % len(_WAYS)]
        places = [(across.place(at), down.place(value)) for at, value in each.points]
        parts += [path(places, tone, dash=dash), *(dot(*place, tone, radius=2.5) for place in places[:1])]
        parts += [
            path([(start, 9), (start + 18, 9)], tone, dash=dash),
            text(start + 23, 13, each.name, room=110 if len(series) > 1 else WIDTH - start),
        ]
        start += 34 + 7 * min(len(each.name), 17)
    parts.append(text(WIDTH, foot + 32, x, anchor="end", tone="soft"))
    return drawing(foot + _FOOT, title, description, parts)
