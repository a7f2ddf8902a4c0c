"""Parallel coordinates as inline SVG: one axis below the other, so that every title has room on a phone too, and one
line down through all of them for each result. Better is always to the right.

A line can be focused with the keyboard and says what it is. Colours come from classes: ``line``, ``s0`` to ``s9``.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from pith.figures.axes import Ends, spanning
from pith.figures.pareto import Better

WIDTH, SIDE, TOP, APART, FOOT = 400, 14, 62, 52, 26
COLOURS = 10
_MARK = 18.0


@dataclass(frozen=True)
class Upright:
    """One axis, with a number for each result; None where it was not measured. ``tell`` says how they are written.

    The axis spans at ``least`` so much, so that what is nearly equal is drawn so, and ends ``within`` what can be.
    """

    name: str
    better: Better
    values: tuple[float | None, ...]
    tell: Callable[[float], str]
    least: float = 0.0
    within: Ends = (None, None)

    def ends(self) -> tuple[float, float]:
        """The worst and the best end."""
        known = [value for value in self.values if value is not None]
        low, high = spanning(known, least=self.least, within=self.within)
        return (high, low) if self.better == "lower" else (low, high)

    def told(self, index: int) -> str:
        value = self.values[index]
        return "–" if value is None else self.tell(value)


def parallel(names: Sequence[str], axes: Sequence[Upright], title: str) -> str:
    """The plot; a sentence in its place where there are no two axes."""
    if len(axes) < 2:
        return '<p class="empty">Nothing to plot: the results have fewer than two numbers in common.</p>'
    starts = _starts(names, axes[0])
    parts = [
        f'<svg class="figure parallel" viewBox="0 0 {WIDTH} {_down(len(axes) - 1) + FOOT}" role="group" '
        f'aria-label="{escape(title)}">',
        *(f'<path class="axis" d="M{SIDE} {_down(i)}H{WIDTH - SIDE}"/>' for i in range(len(axes))),
        *(_line(name, i, axes, starts[i]) for i, name in enumerate(names)),
        *(_told(axis, _down(i)) for i, axis in enumerate(axes)),
        "</svg>",
    ]
    return "".join(parts)


def _told(axis: Upright, y: float) -> str:
    """What an axis is, and where it ends."""
    worst, best = (axis.tell(end) for end in axis.ends())
    return (
        f'<text class="name" x="{WIDTH / 2:g}" y="{y + 16}" text-anchor="middle">{escape(axis.name)}</text>'
        f'<text class="tick" x="{SIDE}" y="{y + 16}">{escape(worst)}</text>'
        f'<text class="tick" x="{WIDTH - SIDE}" y="{y + 16}" text-anchor="end">{escape(best)}</text>'
    )


def _line(name: str, index: int, axes: Sequence[Upright], start: float) -> str:
    said = escape(f"{name}: {'; '.join(f'{axis.name} {axis.told(index)}' for axis in axes)}")
    dots = [(x, _down(i)) for i, axis in enumerate(axes) if (x := _across(axis, index)) is not None]
    circles = "".join(f'<circle cx="{x}" cy="{y}" r="4"/>' for x, y in dots)
    path = " ".join(_pieces(index, axes, start))
    return (
        f'<g class="line s{index % COLOURS}" tabindex="0" role="img" aria-label="{said}">'
        f'<title>{said}</title><path fill="none" d="{path}"/>{circles}'
        f'<text x="{start}" y="14" text-anchor="middle">{index + 1}</text></g>'
    )


def _starts(names: Sequence[str], axis: Upright) -> list[float]:
    """Where each result's number stands: above its place on the first axis, or beside others that stand there."""
    wanted = [_across(axis, index) for index in range(len(names))]
    order = sorted(range(len(names)), key=lambda index: (wanted[index] is not None, wanted[index] or 0.0, index))
    found = [0.0] * len(names)
    room = min(_MARK, (WIDTH - 2 * SIDE) / max(1, len(names) - 1))
    last = SIDE - room
    for index in order:
        last = found[index] = max(wanted[index] or SIDE, last + room)
    last = WIDTH - SIDE + room
    for index in reversed(order):
        last = found[index] = min(found[index], last - room)
    return [round(each, 1) for each in found]


def _pieces(index: int, axes: Sequence[Upright], start: float) -> Iterator[str]:
    """The path from the number down, broken where a value is missing."""
    yield f"M{start} 20"
    drawing = True
    for i, axis in enumerate(axes):
        x = _across(axis, index)
        if x is not None:
            yield f"{'L' if drawing else 'M'}{x} {_down(i)}"
        drawing = x is not None


def _down(place: int) -> float:
    return TOP + place * APART


def _across(axis: Upright, index: int) -> float | None:
    value = axis.values[index]
    if value is None:
        return None
    worst, best = axis.ends()
    part = 0.5 if worst == best else (value - worst) / (best - worst)
    return round(SIDE + min(1.0, max(0.0, part)) * (WIDTH - 2 * SIDE), 1)
