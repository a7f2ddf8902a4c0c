"""Curves over a common axis."""

from collections.abc import Sequence
from dataclasses import dataclass

from pith.figures.axes import Ends, around, feet, rules
from pith.figures.svg import LETTER, WIDTH, Drawn, dot, drawing, line, path, text

_LEFT, _TOP, _HEIGHT, _FOOT = 46.0, 26.0, 150.0, 36.0
_WAYS = (("after", ""), ("before", "5 3"), ("cold", "1 3"), ("warm", "8 3 1 3"))


@dataclass(frozen=True)
class Series:
    """One curve, its points by growing ``x``; ``intervals`` of their values, where they are known."""

    name: str
    points: tuple[tuple[float, float], ...]
    intervals: tuple[tuple[float, float] | None, ...] = ()


@dataclass(frozen=True)
class Mark:
    """A place where something new begins; ``words`` say what, as far as there is room for them, below or ``above``."""

    x: float
    words: str = ""
    above: bool = False


def lines(
    title: str,
    description: str,
    series: Sequence[Series],
    x: str,
    marks: Sequence[Mark] = (),
    *,
    within: Ends = (None, None),
    least: float = 0.0,
    reached: Sequence[float] = (),
) -> Drawn:
    """``x`` is what the horizontal axis counts. The upright one spans at ``least`` so much, ``within`` what can be, and
    holds what others have ``reached``."""
    across, numbers = around([at for each in series for at, _ in each.points], _LEFT, WIDTH - 12)
    values = [*reached, *(value for each in series for _, value in each.points)]
    values += [end for each in series for interval in each.intervals if interval for end in interval]
    down, heights = around(values, _TOP + _HEIGHT, _TOP, within=within, least=least)
    foot = _TOP + _HEIGHT
    parts = [*rules(down, heights, _LEFT, WIDTH), *feet(across, _whole(numbers), foot + 16)]
    parts += [line(across.place(mark.x), _TOP, across.place(mark.x), foot, "soft", dash="2 3") for mark in marks]
    parts += _said([(across.place(mark.x), mark.words) for mark in marks if not mark.above], foot - 4)
    parts += _said([(across.place(mark.x), mark.words) for mark in marks if mark.above], _TOP + 10)
    start = _LEFT
    for number, each in enumerate(series):
        tone, dash = _WAYS[number % len(_WAYS)]
        places = [(across.place(at), down.place(value)) for at, value in each.points]
        parts += [path(places, tone, dash=dash), *(dot(*place, tone, radius=2.5) for place in _dotted(each, places))]
        for (left, _), interval in zip(places, each.intervals, strict=False):
            if interval is not None:
                aside = left + (number - (len(series) - 1) / 2) * 3
                parts.append(line(aside, down.place(interval[0]), aside, down.place(interval[1]), tone))
        parts += [
            path([(start, 9), (start + 18, 9)], tone, dash=dash),
            text(start + 23, 13, each.name, room=110 if len(series) > 1 else WIDTH - start),
        ]
        start += 34 + 7 * min(len(each.name), 17)
    parts.append(text(WIDTH, foot + 32, x, anchor="end", tone="soft"))
    return drawing(foot + _FOOT, title, description, parts)


def _whole(numbers: Sequence[float]) -> list[float]:
    """Whole numbers alone, where there are enough of them."""
    whole = [number for number in numbers if number == int(number)]
    return whole if len(whole) > 1 else list(numbers)


def _dotted(each: Series, places: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """All points of a few that were measured by themselves; of a long curve the first."""
    return places if each.intervals else places[:1]


def _said(marks: Sequence[tuple[float, str]], y: float) -> list[str]:
    """Words that would lie on those before them are left away."""
    parts, last = [], _LEFT - 4
    for place, words in marks:
        if words and place > last and place + LETTER * len(words) <= WIDTH:
            parts.append(text(place + 3, y, words, tone="soft", over=True))
            last = place + 6 + LETTER * len(words)
    return parts
