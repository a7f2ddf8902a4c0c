"""Bars that stand, one after the other, so close that hundreds have room: the course of something through a model."""

from collections.abc import Sequence

from pith.figures.axes import around, rules
from pith.figures.svg import WIDTH, Drawn, at, drawing, filled, text

_LEFT, _TOP, _HEIGHT = 46.0, 24.0, 84.0


def profile(
    title: str,
    description: str,
    after: Sequence[float | None],
    before: Sequence[float | None] = (),
    *,
    unit: str = "",
    tone: str = "after",
) -> Drawn:
    """What was stands behind, wider and paler; a gap is where nothing is known."""
    values = [value for value in (*before, *after) if value is not None]
    down, marks = around(values, _TOP + _HEIGHT, _TOP, zero=True)
    pitch = (WIDTH - _LEFT) / max(1, len(after), len(before))
    shown = marks[:: max(1, (len(marks) - 1) // 2)]
    parts = rules(down, shown, _LEFT, WIDTH)
    parts.append(text(0, 12, f"{title}{f', {unit}' if unit else ''}"))
    zero = down.place(0.0)
    for these, width, colour in ((before, 0.9, "before"), (after, 0.9 if not before else 0.5, tone)):
        ends = [(number, down.place(value)) for number, value in enumerate(these) if value is not None]
        parts.append(_standing(ends, zero, pitch, width, colour))
    foot = _TOP + _HEIGHT + 15
    parts += [text(_LEFT, foot, "first layer", tone="soft"), text(WIDTH, foot, "last", anchor="end", tone="soft")]
    return drawing(foot + 4, title, description, parts)


def _standing(ends: Sequence[tuple[int, float]], zero: float, pitch: float, width: float, tone: str) -> str:
    """All bars of one kind are one path, which keeps a figure of hundreds small."""
    thick = pitch * width
    way = "".join(
        f"M{at(_LEFT + (number + 0.5) * pitch - thick / 2)} {at(zero)}V{at(end)}h{thick:.2f}V{at(zero)}z"
        for number, end in ends
        if abs(end - zero) > 0.05
    )
    return f'<path d="{way}"{filled(tone)}/>' if way else ""
