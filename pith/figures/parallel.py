"""Parallel coordinates as inline SVG: one upright axis for each number, one line for each result, better always above.

A line can be focused with the keyboard and says what it is. Colours come from classes: ``line``, ``s0`` to ``s9``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from pith.figures.pareto import Better

WIDTH, HEIGHT = 760, 340
SIDE, TOP, BOTTOM = 80, 56, 40
COLOURS = 10


@dataclass(frozen=True)
class Upright:
    """One axis, with a number for each result; None where it was not measured. ``told`` is how they are written."""

    name: str
    better: Better
    values: tuple[float | None, ...]
    told: tuple[str, ...]


def parallel(names: Sequence[str], axes: Sequence[Upright], title: str) -> str:
    """The plot; a sentence in its place where there are no two axes."""
    if len(axes) < 2:
        return '<p class="empty">Nothing to plot: the results have fewer than two numbers in common.</p>'
    parts = [
        f'<svg class="figure parallel" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{escape(title)}">',
        *(_axis(axis, _across(i, len(axes))) for i, axis in enumerate(axes)),
        *(_line(name, i, axes) for i, name in enumerate(names)),
        "</svg>",
    ]
    return "".join(parts)


def _axis(axis: Upright, x: float) -> str:
    known = sorted((value, told) for value, told in zip(axis.values, axis.told, strict=True) if value is not None)
    worst, best = (known[-1], known[0]) if axis.better == "lower" else (known[0], known[-1])
    bottom = HEIGHT - BOTTOM
    low = f'<text class="tick" x="{x}" y="{bottom + 18}" text-anchor="middle">{escape(worst[1])}</text>'
    return (
        f'<path class="axis" d="M{x} {TOP}V{bottom}"/>'
        f'<text class="name" x="{x}" y="{TOP - 34}" text-anchor="middle">{escape(axis.name)}</text>'
        f'<text class="tick" x="{x}" y="{TOP - 14}" text-anchor="middle">{escape(best[1])}</text>'
        f"{low if worst[0] != best[0] else ''}"
    )


def _line(name: str, index: int, axes: Sequence[Upright]) -> str:
    said = "; ".join(f"{axis.name} {axis.told[index]}" for axis in axes)
    dots = [(_across(i, len(axes)), y) for i, axis in enumerate(axes) if (y := _height(axis, index)) is not None]
    circles = "".join(f'<circle cx="{x}" cy="{y}" r="4"/>' for x, y in dots)
    path = " ".join(_pieces(index, axes))
    return (
        f'<g class="line s{index % COLOURS}" tabindex="0" role="img" aria-label="{escape(f"{name}: {said}")}">'
        f'<title>{escape(f"{name}: {said}")}</title><path fill="none" d="{path}"/>{circles}'
        f'<text x="{dots[0][0] - 8 if dots else 0}" y="{dots[0][1] + 4 if dots else 0}" text-anchor="end">'
        f"{index + 1}</text></g>"
    )


def _pieces(index: int, axes: Sequence[Upright]) -> Iterator[str]:
    """The path, broken where a number is missing."""
    drawing = False
    for i, axis in enumerate(axes):
        y = _height(axis, index)
        if y is not None:
            yield f"{'L' if drawing else 'M'}{_across(i, len(axes))} {y}"
        drawing = y is not None


def _across(place: int, count: int) -> float:
    return round(SIDE + place * (WIDTH - 2 * SIDE) / (count - 1), 1)


def _height(axis: Upright, index: int) -> float | None:
    value, known = axis.values[index], [each for each in axis.values if each is not None]
    if value is None:
        return None
    low, high = min(known), max(known)
    part = 0.5 if low == high else (value - low) / (high - low)
    up = part if axis.better == "higher" or low == high else 1 - part
    return round(HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP), 1)
