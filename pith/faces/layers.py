"""The layers as figures: the course of size, work and noise through the model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pith.faces import words
from pith.figures.profile import profile
from pith.figures.svg import Drawn
from pith.figures.table import figure, table
from pith.findings.layers import LayerCost, LayerReport, Layers

_FEW = 24
_Found = Callable[[LayerCost], float | None]


@dataclass(frozen=True)
class _Course:
    title: str
    unit: str
    of: _Found


_COSTS = (
    _Course("Size", "kB", lambda cost: cost.size_bytes / 1e3),
    _Course("Multiply-accumulates", "millions", lambda cost: None if cost.macs is None else cost.macs / 1e6),
    _Course("Bits of a weight", "", lambda cost: cost.bits),
    _Course("Zeros", "% of parameters", lambda cost: 100 * _zeros(cost)),
)
_HEAD = (
    "Layer", "Kind", "Size before", "Size after", "MACs before", "MACs after", "Bits before", "Bits after",
    "Zeros after", "Signal to noise", "Sensitivity",
)  # fmt: skip


def courses(layers: Layers) -> Drawn:
    """Before behind, after in front; noise and sensitivity where they are known. With all numbers."""
    drawings = [_drawn(layers.rows, course) for course in _COSTS if _known(layers.rows, course.of)]
    noise, sensitive = [row.sqnr_db for row in layers.rows], [row.sensitivity for row in layers.rows]
    if any(value is not None for value in noise):
        drawings.append(_alone("Signal to noise", "dB", noise, "cold", "less is noisier"))
    if any(value is not None for value in sensitive):
        what = "agreement" if layers.metric is None else words.LABELS[layers.metric].lower()
        drawings.append(_alone("Sensitivity", f"fall of {what}", sensitive, "warm", "more is worse"))
    caption = "One bar a layer, in the order of the model: baseline pale behind, result in front."
    numbers = table(f"The {len(layers.rows)} layers", _HEAD, map(_row, layers.rows))
    return figure(drawings, caption, numbers, opened=len(layers.rows) <= _FEW)


def _known(rows: Sequence[LayerReport], of: _Found) -> bool:
    costs = [cost for row in rows for cost in (row.before, row.after) if cost is not None]
    return any(of(cost) for cost in costs)


def _zeros(cost: LayerCost) -> float:
    return 1 - min(cost.nonzero, cost.parameters) / cost.parameters if cost.parameters else 0.0


def _drawn(rows: Sequence[LayerReport], course: _Course) -> Drawn:
    before = [None if row.before is None else course.of(row.before) for row in rows]
    after = [None if row.after is None else course.of(row.after) for row in rows]
    said = f"In all {_sum(before)} before and {_sum(after)} after."
    if course.title in ("Bits of a weight", "Zeros"):
        said = f"On average {_mean(before)} before and {_mean(after)} after."
    return profile(course.title, said, after, before, unit=course.unit)


def _sum(values: Sequence[float | None]) -> str:
    return f"{sum(value for value in values if value is not None):,.4g}"


def _mean(values: Sequence[float | None]) -> str:
    found = [value for value in values if value is not None]
    return f"{sum(found) / len(found):.3g}" if found else "nothing"


def _alone(title: str, unit: str, values: Sequence[float | None], tone: str, sense: str) -> Drawn:
    found = [value for value in values if value is not None]
    said = f"From {min(found):.3g} to {max(found):.3g} {unit}; {sense}."
    return profile(title, said, values, unit=unit, tone=tone)


def _row(row: LayerReport) -> tuple[str, ...]:
    before, after = row.before, row.after
    return (
        row.name,
        row.kind + ("" if before and after else ", came" if after else ", went"),
        *(_of(cost, lambda each: words.size(each.size_bytes)) for cost in (before, after)),
        *(_of(cost, lambda each: "–" if each.macs is None else words.count(each.macs)) for cost in (before, after)),
        *(_of(cost, lambda each: f"{each.bits:.3g}") for cost in (before, after)),
        _of(after, lambda each: words.share(_zeros(each))),
        "–" if row.sqnr_db is None else words.number(row.sqnr_db, "sqnr_db"),
        "–" if row.sensitivity is None else words.signed(row.sensitivity),
    )


def _of(cost: LayerCost | None, said: Callable[[LayerCost], str]) -> str:
    return "–" if cost is None else said(cost)
