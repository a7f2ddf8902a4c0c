"""The layers as figures: the course of size, work and noise through the model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pith.faces import words
from pith.figures.profile import profile
from pith.figures.svg import Drawn
from pith.figures.table import figure, table
from pith.findings.layers import Absent, LayerCost, LayerReport, Layers

_FEW = 24
_ABSENT: dict[Absent, tuple[str, str]] = {
    "other shape": ("reshaped", "its shape is another, as where channels were removed; nothing can be compared"),
    "merged": ("merged", "a norm or a bias was merged into it, so that its numbers mean something else"),
    "went": ("gone", "the result has no such layer"),
    "came": ("new", "the baseline has no such layer"),
    "no output": ("no output", "it is numbers that other layers use, and gives nothing by itself"),
    "integers": ("integers", "it was integers before, or gives some"),
    "no numbers": ("no number", "outputs were not finite, or did not vary"),
    "too many": ("not tried", "trying every layer would have taken too long, so the largest were tried"),
    "new outputs": ("new outputs", "the model was given outputs of another meaning"),
    "short report": ("not run", "the job asked for a short report"),
}
"""In a cell, and in a sentence."""
_Found = Callable[[LayerCost], float | None]


@dataclass(frozen=True)
class _Course:
    """``units`` are the names of multiples, the largest first, that fit numbers of any size."""

    title: str
    unit: str
    of: _Found
    units: tuple[tuple[str, float], ...] = ()


_COSTS = (
    _Course("Size", "", lambda cost: cost.size_bytes, (("MB", 1e6), ("kB", 1e3))),
    _Course("Multiply-accumulates", "", lambda cost: cost.macs, (("G", 1e9), ("M", 1e6), ("k", 1e3))),
    _Course("Bits of a weight", "", lambda cost: cost.bits),
    _Course("Zeros", "% of parameters", lambda cost: 100 * _zeros(cost)),
)
_HEAD = ("Layer", "Kind", "Shape", "Size", "MACs", "Bits", "Zeros", "Signal to noise", "Sensitivity")


def courses(layers: Layers) -> Drawn:
    """Before behind, after in front; noise and sensitivity where they are known. With all numbers."""
    drawings = [_drawn(layers.rows, course) for course in _COSTS if _known(layers.rows, course.of)]
    heard, sensitive = [row.sqnr_db for row in layers.rows], [row.sensitivity for row in layers.rows]
    if any(value is not None for value in heard):
        drawings.append(_alone("Signal to noise", "dB", heard, "cold", "less is noisier"))
    if any(value is not None for value in sensitive):
        what = "agreement" if layers.metric is None else words.LABELS[layers.metric].lower()
        drawings.append(_alone("Sensitivity", f"fall of {what}", sensitive, "warm", "more is worse"))
    caption = "One bar a layer, in the order of the model: baseline pale behind, result in front."
    numbers = table(words.counted(len(layers.rows), "layer"), _HEAD, map(_row, layers.rows))
    return figure(drawings, caption, numbers, opened=len(layers.rows) <= _FEW)


def _known(rows: Sequence[LayerReport], of: _Found) -> bool:
    costs = [cost for row in rows for cost in (row.before, row.after) if cost is not None]
    return any(of(cost) for cost in costs)


def _zeros(cost: LayerCost) -> float:
    return 1 - min(cost.nonzero, cost.parameters) / cost.parameters if cost.parameters else 0.0


def _drawn(rows: Sequence[LayerReport], course: _Course) -> Drawn:
    found = [None if cost is None else course.of(cost) for row in rows for cost in (row.before, row.after)]
    most = max((value for value in found if value is not None), default=0.0)
    unit, one = next(((name, one) for name, one in course.units if most >= one), (course.unit, 1.0))
    scaled = [None if value is None else value / one for value in found]
    before, after = scaled[::2], scaled[1::2]
    said = f"In all {_sum(before)} {unit} before and {_sum(after)} {unit} after.".replace("  ", " ")
    if course.title in ("Bits of a weight", "Zeros"):
        said = f"On average {_mean(before)} before and {_mean(after)} after."
    return profile(course.title, said, after, before, unit=unit)


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
        row.kind + ("" if before and after else ", new" if after else ", gone"),
        shapes(row),
        _both(row, lambda each: words.size(each.size_bytes)),
        _both(row, lambda each: "–" if each.macs is None else words.count(each.macs)),
        _both(row, lambda each: f"{each.bits:.3g}"),
        "–" if after is None else words.share(_zeros(after)),
        noise(row),
        sensitivity(row),
    )


def _both(row: LayerReport, said: Callable[[LayerCost], str]) -> str:
    """Before and after; once where it is the same."""
    found = ["–" if cost is None else said(cost) for cost in (row.before, row.after)]
    return found[0] if found[0] == found[1] else " → ".join(found)


def noise(row: LayerReport) -> str:
    """Or why there is none."""
    return absent(row.no_noise) if row.sqnr_db is None else words.number(row.sqnr_db, "sqnr_db")


def sensitivity(row: LayerReport) -> str:
    return absent(row.no_sensitivity) if row.sensitivity is None else words.signed(row.sensitivity)


def absent(why: Absent | None) -> str:
    """A few words for a cell; reports of before do not say why."""
    return "–" if why is None else _ABSENT[why][0]


def shapes(row: LayerReport) -> str:
    """Of the weight, before and after: ``64×32×3×3 → 40×20×3×3``."""
    return _both(row, _shape)


def _shape(cost: LayerCost) -> str:
    return "×".join(map(str, cost.shape)) or "–"


def reasons(layers: Layers) -> Iterator[str]:
    """A sentence for each reason that any layer has no noise or no sensitivity."""
    for why, (short, whole) in _ABSENT.items():
        lacking = [row for row in layers.rows if why in (row.no_noise, row.no_sensitivity)]
        if lacking:
            yield f"{short[0].upper()}{short[1:]} ({words.counted(len(lacking), 'layer')}): {whole}."
