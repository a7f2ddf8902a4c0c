"""A Pareto plot as inline SVG: one number against another, with the points that no other point beats on both.

Colours come from classes, so that the page decides on light and dark: ``figure``, ``axis``, ``grid``, ``point``,
``best``, ``front``. Not covered: the table beside it, which the page writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import Literal

Better = Literal["higher", "lower"]
WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 24, 56
LINE = 15
"""Between the middles of two labels, so that neither covers the other."""
_LETTER = 6.6
_TICKS = 5
# What differs by less than this share is one place on the paper.
_ALIKE = 1e-6


@dataclass(frozen=True)
class Point:
    """One result: ``x`` and ``y`` as the axes have them."""

    label: str
    x: float
    y: float


@dataclass(frozen=True)
class Axis:
    """What is plotted along it, such as ``size`` in ``MB``."""

    name: str
    better: Better
    unit: str = ""

    @property
    def title(self) -> str:
        unit = f", {self.unit}" if self.unit else ""
        return f"{self.name}{unit} ({self.better} is better)"


def front(points: Sequence[Point], x: Better, y: Better) -> tuple[int, ...]:
    """The places of the points that no other one beats, along x; equal points all stay."""

    def at_least(a: Point, b: Point) -> bool:
        return _good(a.x, x) >= _good(b.x, x) and _good(a.y, y) >= _good(b.y, y)

    def beaten(one: Point) -> bool:
        return any(at_least(other, one) and not at_least(one, other) for other in points)

    return tuple(
        sorted((i for i, one in enumerate(points) if not beaten(one)), key=lambda i: (points[i].x, points[i].y))
    )


def pareto(points: Sequence[Point], x: Axis, y: Axis, title: str) -> str:
    """The plot; without points, a sentence in its place."""
    if not points:
        return '<p class="empty">Nothing to plot: no result has both numbers.</p>'
    across, up = (
        _Scale.of([p.x for p in points], LEFT, WIDTH - RIGHT),
        _Scale.of([p.y for p in points], HEIGHT - BOTTOM, TOP),
    )
    best = front(points, x.better, y.better)
    parts = [
        f'<svg class="figure" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        *_axes(across, up, x, y),
        _steps(points, best, across, up, x.better),
        *_marks(points, best, across, up, x, y),
        "</svg>",
    ]
    return "".join(parts)


@dataclass(frozen=True)
class _Scale:
    """From numbers to places on the paper."""

    low: float
    high: float
    step: float
    start: float
    end: float

    @classmethod
    def of(cls, values: Sequence[float], start: float, end: float) -> "_Scale":
        low, high = min(values), max(values)
        apart = high - low > _ALIKE * max(abs(low), abs(high))
        room = (high - low) * 0.08 if apart else abs(high) * 0.1 or 1.0
        step = _step((high - low + 2 * room) / _TICKS)
        low = max(0.0, low - room) if low >= 0 else low - room
        return cls(floor(low / step) * step, ceil((high + room) / step) * step, step, start, end)

    def place(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        return [self.low + i * self.step for i in range(round((self.high - self.low) / self.step) + 1)]


def _step(rough: float) -> float:
    """1, 2 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)


def _axes(across: _Scale, up: _Scale, x: Axis, y: Axis) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for tick in across.ticks():
        at = across.place(tick)
        parts.append(f'<path class="grid" d="M{at} {TOP}V{bottom}"/>')
        parts.append(f'<text class="tick" x="{at}" y="{bottom + 18}" text-anchor="middle">{tick:.4g}</text>')
    for tick in up.ticks():
        at = up.place(tick)
        parts.append(f'<path class="grid" d="M{LEFT} {at}H{right}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{at + 4}" text-anchor="end">{tick:.4g}</text>')
    middle = (TOP + bottom) / 2
    parts.append(f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>')
    parts.append(
        f'<text class="name" x="{(LEFT + right) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x.title)}</text>'
    )
    turned = f'transform="rotate(-90 16 {middle})"'
    parts.append(f'<text class="name" x="16" y="{middle}" text-anchor="middle" {turned}>{escape(y.title)}</text>')
    return parts


def _steps(points: Sequence[Point], best: Sequence[int], across: _Scale, up: _Scale, better: Better) -> str:
    """The front as stairs: between two of its points, what can be had is the worse of both."""
    places = [(across.place(points[i].x), up.place(points[i].y)) for i in best]
    path = [f"M{places[0][0]} {places[0][1]}"]
    for there in places[1:]:
        path.append(f"H{there[0]}V{there[1]}" if better == "lower" else f"V{there[1]}H{there[0]}")
    return f'<path class="front" fill="none" d="{"".join(path)}"/>'


def _marks(points: Sequence[Point], best: Sequence[int], across: _Scale, up: _Scale, x: Axis, y: Axis) -> list[str]:
    parts = []
    lines = _apart([up.place(point.y) for point in points], [across.place(point.x) for point in points])
    for i, point in enumerate(points):
        at, down, on = across.place(point.x), up.place(point.y), i in best
        leftward = at + 10 + len(point.label) * _LETTER > WIDTH
        side = f'x="{at - 10}" text-anchor="end"' if leftward else f'x="{at + 10}"'
        said = f"{point.label}: {x.name} {point.x:.4g} {x.unit}, {y.name} {point.y:.4g} {y.unit}".replace(
            " ,", ","
        ).strip()
        said += "; nothing here beats it on both" if on else ""
        shape = f'<circle cx="{at}" cy="{down}" r="6"/>' if on else _cross(at, down)
        parts.append(
            f'<g class="point{" best" if on else ""}"><title>{escape(said)}</title>{shape}'
            f'<text {side} y="{lines[i] + 4}">{escape(point.label)}</text></g>'
        )
    return parts


def _cross(x: float, y: float) -> str:
    return f'<path fill="none" d="M{x - 5:g} {y - 5:g}l10 10M{x - 5:g} {y + 5:g}l10 -10"/>'


def _apart(heights: Sequence[float], places: Sequence[float]) -> list[float]:
    """Where the labels go: each beside its point, or below one that is there already."""
    found: dict[int, float] = {}
    for i in sorted(range(len(heights)), key=lambda i: heights[i]):
        at = heights[i]
        for taken in sorted(found[j] for j in found if abs(places[j] - places[i]) < WIDTH / 4):
            at = taken + LINE if abs(taken - at) < LINE else at
        found[i] = at
    return [round(found[i], 1) for i in range(len(heights))]


def _good(value: float, better: Better) -> float:
    return value if better == "higher" else -value
