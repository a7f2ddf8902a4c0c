"""A Pareto plot as inline SVG: one number against another, with the points that no other point beats on both.

Colours come from classes, so that the page decides on light and dark: ``figure``, ``axis``, ``grid``, ``point``,
``best``, ``front``. Not covered: the table beside it, which the page writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from pith.figures.axes import Axis as Scale
from pith.figures.axes import Ends, around, short
from pith.figures.labels import LINE, Area, Name, named

Better = Literal["higher", "lower"]
WIDTH, HEIGHT = 400, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 26, 44
RADIUS = 5


@dataclass(frozen=True)
class Point:
    """One result: ``x`` and ``y`` as the axes have them. Where its label has no room, its ``mark`` stands for it."""

    label: str
    x: float
    y: float
    mark: str = ""


@dataclass(frozen=True)
class Axis:
    """What is plotted along it, such as ``size`` in ``MB``. It spans at ``least`` so much, and ends ``within`` what can
    be."""

    name: str
    better: Better
    unit: str = ""
    least: float = 0.0
    within: Ends = (None, None)

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
    across, feet = around([p.x for p in points], LEFT + 10, WIDTH - RIGHT, least=x.least, within=x.within)
    up, heights = around([p.y for p in points], HEIGHT - BOTTOM, TOP, least=y.least, within=y.within)
    best = front(points, x.better, y.better)
    places = [(round(across.place(p.x), 1), round(up.place(p.y), 1)) for p in points]
    frame = Area(LEFT, TOP - 10, WIDTH, HEIGHT - BOTTOM - 2)
    marks = [point.mark or str(number) for number, point in enumerate(points, 1)]
    names, legend = named(places, [point.label for point in points], marks, frame, RADIUS + 1)
    parts = [
        f'<svg class="figure" viewBox="0 0 {WIDTH} {HEIGHT + LINE * len(legend):g}" role="img" '
        f'aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        *_axes(across, feet, up, heights, x, y),
        _steps([places[i] for i in best], x.better),
        *(
            _point(point, place, name, i in best, x, y)
            for i, (point, place, name) in enumerate(zip(points, places, names, strict=True))
        ),
        *(f'<text x="0" y="{HEIGHT + 8 + LINE * i:g}">{escape(each)}</text>' for i, each in enumerate(legend)),
        "</svg>",
    ]
    return "".join(parts)


def _axes(across: Scale, feet: Sequence[float], up: Scale, heights: Sequence[float], x: Axis, y: Axis) -> list[str]:
    """Their names lie: that of the upright axis above it, and that of the other below."""
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for tick in feet:
        at = round(across.place(tick), 1)
        parts.append(f'<path class="grid" d="M{at} {TOP}V{bottom}"/>')
        parts.append(f'<text class="tick" x="{at}" y="{bottom + 16}" text-anchor="middle">{short(tick)}</text>')
    for tick in heights:
        at = round(up.place(tick), 1)
        parts.append(f'<path class="grid" d="M{LEFT} {at}H{right}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{at + 4}" text-anchor="end">{short(tick)}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>')
    parts.append(f'<text class="name" x="0" y="11">{escape(y.title)}</text>')
    parts.append(f'<text class="name" x="{right}" y="{HEIGHT - 10}" text-anchor="end">{escape(x.title)}</text>')
    return parts


def _steps(places: Sequence[tuple[float, float]], better: Better) -> str:
    """The front as stairs: between two of its points, what can be had is the worse of both."""
    path = [f"M{places[0][0]} {places[0][1]}"]
    for there in places[1:]:
        path.append(f"H{there[0]}V{there[1]}" if better == "lower" else f"V{there[1]}H{there[0]}")
    return f'<path class="front" fill="none" d="{"".join(path)}"/>'


def _point(point: Point, place: tuple[float, float], name: Name, on: bool, x: Axis, y: Axis) -> str:
    said = f"{point.label}: {x.name} {point.x:.4g} {x.unit}, {y.name} {point.y:.4g} {y.unit}".replace(" ,", ",").strip()
    said += "; nothing here beats it on both" if on else ""
    shape = f'<circle cx="{place[0]}" cy="{place[1]}" r="{RADIUS}"/>' if on else _cross(*place)
    led = f'<path class="led" d="M{place[0]} {place[1]}L{name.x:g} {name.y - 4:g}"/>' if name.apart else ""
    words = f'<text x="{name.x:g}" y="{name.y:g}" text-anchor="{name.anchor}">{escape(name.words)}</text>'
    return f'<g class="point{" best" if on else ""}"><title>{escape(said)}</title>{led}{shape}{words}</g>'


def _cross(x: float, y: float) -> str:
    return f'<path fill="none" d="M{x - 4:g} {y - 4:g}l8 8M{x - 4:g} {y + 4:g}l8 -8"/>'


def _good(value: float, better: Better) -> float:
    return value if better == "higher" else -value
