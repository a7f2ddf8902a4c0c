"""Where names go beside points: on no point, on no other name, and within the figure.

Greedily, one name after the other; where not all have room, marks stand in their place and a legend tells them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pith.figures.svg import LETTER, line, text

LINE = 14.0
"""Between two lines of text."""
_STEPS = 6


@dataclass(frozen=True)
class Area:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Area") -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def holds(self, other: "Area") -> bool:
        across = self.left <= other.left and other.right <= self.right
        return across and self.top <= other.top and other.bottom <= self.bottom


@dataclass(frozen=True)
class Name:
    """``x`` and ``y`` are where its text begins or, by its ``anchor``, ends. What is ``apart`` from its point needs a
    line."""

    words: str
    x: float
    y: float
    anchor: str
    apart: bool = False

    @property
    def area(self) -> Area:
        width = LETTER * len(self.words)
        left = self.x - {"start": 0.0, "middle": width / 2, "end": width}[self.anchor]
        return Area(left, self.y - 10, left + width, self.y + 3)


def named(
    places: Sequence[tuple[float, float]], names: Sequence[str], marks: Sequence[str], frame: Area, radius: float = 6.0
) -> tuple[list[Name], list[str]]:
    """The names beside their points; or the marks, and the lines of a legend."""
    found = _placed(places, names, frame, radius)
    if found is not None:
        return found, []
    short = _placed(places, marks, frame, radius)
    if short is None:
        short = [Name(mark, x, y - radius - 3, "middle") for (x, y), mark in zip(places, marks, strict=True)]
    told = (name if name.startswith(f"{mark} ") else f"{mark}: {name}" for mark, name in zip(marks, names, strict=True))
    return short, list(told)


def drawn(names: Sequence[Name], places: Sequence[tuple[float, float]]) -> list[str]:
    """The names, and a thin line to those that stand apart from their points."""
    lines = [
        line(x, y, name.x, name.y - 4, "soft", width=0.7)
        for name, (x, y) in zip(names, places, strict=True)
        if name.apart
    ]
    return lines + [text(name.x, name.y, name.words, anchor=name.anchor, room=1e9, over=True) for name in names]


def _placed(
    places: Sequence[tuple[float, float]], names: Sequence[str], frame: Area, radius: float
) -> list[Name] | None:
    taken = [Area(x - radius, y - radius, x + radius, y + radius) for x, y in places]
    found: list[Name] = []
    for place, words in zip(places, names, strict=True):
        free = (
            name
            for name in _around(*place, words, radius)
            if frame.holds(name.area) and not any(map(name.area.meets, taken))
        )
        if (name := next(free, None)) is None:
            return None
        taken.append(name.area)
        found.append(name)
    return found


def _around(x: float, y: float, words: str, radius: float) -> Iterator[Name]:
    """From near to far: right, left, above and below."""
    aside = radius + 3
    yield Name(words, x + aside, y + 4, "start")
    yield Name(words, x - aside, y + 4, "end")
    yield Name(words, x, y - radius - 4, "middle")
    yield Name(words, x, y + radius + 11, "middle")
    for step in range(1, _STEPS):
        for up in (-step * LINE, step * LINE):
            far = step > 1
            yield Name(words, x + aside, y + 4 + up, "start", far)
            yield Name(words, x - aside, y + 4 + up, "end", far)
