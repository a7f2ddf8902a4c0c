"""Calibration and robustness, as figures."""

from collections.abc import Iterator
from dataclasses import dataclass

from pith.faces import words
from pith.figures.bars import Bar, Length, bars
from pith.figures.lines import Series, lines
from pith.figures.reliability import Bin, reliability
from pith.figures.svg import Drawn
from pith.figures.table import figure, table
from pith.findings.trust import Calibration, Disturbance, Interval, Reliability, ReliabilityBin, Trust
from pith.metrics import MetricName


def calibration(found: Calibration) -> Drawn:
    """Reliability before and after."""
    drawings = [_diagram("Before", found.before, "before"), _diagram("After", found.after, "after")]
    rows = [_bins(*pair) for pair in zip(found.before.bins, found.after.bins, strict=False)]
    head = ("Confidence", "Samples before", "Confidence before", "Right before", "Samples after", "Confidence after",
            "Right after")  # fmt: skip
    caption = (
        f"How often answers are right, by how sure the model is, on {words.counted(found.samples, 'sample')}. On the "
        "dashed line confidence means what it says; red is what is missing to it, blue what is beyond it."
    )
    return figure(drawings, caption, table("Confidence and accuracy, bin by bin", head, rows))


def _bins(then: ReliabilityBin, now: ReliabilityBin) -> tuple[str, ...]:
    figures = (
        figure
        for each in (then, now)
        for figure in (f"{each.samples:,}", *map(words.share, (each.confidence, each.accuracy)))
    )
    return f"{then.low:.2f} to {then.high:.2f}", *figures


def _diagram(when: str, found: Reliability, tone: str) -> Drawn:
    title = f"{when}: expected calibration error {words.share(found.ece)}"
    bins = [Bin(each.low, each.high, each.samples, each.confidence, each.accuracy) for each in found.bins]
    said = "; ".join(
        f"confidence {each.low:.1f} to {each.high:.1f}: {words.share(each.accuracy)} right"
        for each in bins
        if each.samples
    )
    return Drawn(f'<p class="over">{title}</p>{reliability(title, said, bins, tone)}')


_LEAST = 0.05


@dataclass(frozen=True)
class _Tried:
    """Quality of the same samples, undisturbed or disturbed in one strength."""

    label: str
    before: float | None
    after: float | None
    before_interval: Interval = None
    after_interval: Interval = None
    drop: float | None = None
    drop_interval: Interval = None


def disturbances(trust: Trust) -> Drawn | None:
    """Quality of disturbed samples, after that of the same ones undisturbed; None where none were. What was tried in
    several strengths is a curve."""
    if not trust.disturbances or trust.metric is None:
        return None
    label = words.LABELS[trust.metric]
    named = _by_name(trust)
    several = [found for found in named.values() if len(found) > 1]
    drawings = [_curve(trust, trust.metric, found, _reached(trust)) for found in several]
    once = [_tried(found[0]) for found in named.values() if len(found) == 1]
    if once:
        drawings.append(_bars(trust.metric, [*_clean(trust), *once]))
    tried = [*_clean(trust), *map(_tried, trust.disturbances)]
    head = ("Disturbance", "Before", "After", "Change")
    numbers = table(f"{label} of disturbed samples", head, (_row(trust.metric, each) for each in tried))
    return figure(drawings, _caption(trust, label, len(named) > len(once), bool(once)), numbers)


def _caption(trust: Trust, label: str, curves: bool, alone: bool) -> str:
    """What is drawn how; reports of before have no intervals."""
    said = [f"{label} on the same {words.counted(trust.samples, 'sample')}, disturbed."]
    if curves:
        said.append("Curves: by strength, all on one scale; the first points are undisturbed.")
    if alone:
        said.append("Bars: baseline above, result below.")
    if trust.clean_drop_interval is not None:
        said.append("The thin lines are 95 % confidence intervals; those of what was lost are in the numbers, paired.")
    return " ".join(said)


def _by_name(trust: Trust) -> dict[str, list[Disturbance]]:
    found: dict[str, list[Disturbance]] = {}
    for each in trust.disturbances:
        found.setdefault(each.name, []).append(each)
    return found


def _clean(trust: Trust) -> Iterator[_Tried]:
    if trust.clean_after is not None:
        intervals = trust.clean_before_interval, trust.clean_after_interval
        paired = trust.clean_drop, trust.clean_drop_interval
        yield _Tried("Undisturbed", trust.clean_before, trust.clean_after, *intervals, *paired)


def _tried(each: Disturbance) -> _Tried:
    said = words.disturbance(each)
    intervals = each.before_interval, each.after_interval
    return _Tried(said[0].upper() + said[1:], each.before, each.after, *intervals, each.drop, each.drop_interval)


def _reached(trust: Trust) -> list[float]:
    """Every value that any curve shows: all have one scale, so that they can be held against each other."""
    tried = [*_clean(trust), *map(_tried, trust.disturbances)]
    ends = [end for each in tried for found in (each.before_interval, each.after_interval) if found for end in found]
    return [value for each in tried for value in (each.before, each.after) if value is not None] + ends


def _curve(trust: Trust, name: MetricName, found: list[Disturbance], reached: list[float]) -> Drawn:
    clean = [(0.0, each) for each in _clean(trust)]
    points = [*clean, *((each.strength, _tried(each)) for each in found)]
    before = [(at, each.before, each.before_interval) for at, each in points if each.before is not None]
    after = [(at, each.after, each.after_interval) for at, each in points if each.after is not None]
    title = f"{words.LABELS[name]} under {words.DISTURBANCES.get(found[0].name, found[0].name)}"
    said = "; ".join(
        f"{at:g} {found[0].unit}: {words.number(each.before, name)} before, {words.number(each.after, name)} after"
        for at, each in points
    )
    series = [
        Series(who, tuple((at, value) for at, value, _ in these), tuple(interval for *_, interval in these))
        for who, these in (("After", after), ("Before", before))
    ]
    ends = words.ENDS.get(name, (None, None))
    drawn = lines(title, said, series, found[0].unit, within=ends, least=_LEAST, reached=reached)
    return Drawn(f'<p class="over">{title}</p>{drawn}')


def _bars(name: MetricName, tried: list[_Tried]) -> Drawn:
    rows = [_bar(name, each) for each in tried]
    said = "; ".join(f"{row.label}: {row.shown}" for row in rows)
    whole = 1.0 if words.ENDS.get(name, (None, None)) == (0.0, 1.0) else None
    return bars(f"{words.LABELS[name]} under disturbance", said, rows, whole)


def _bar(name: str, each: _Tried) -> Bar:
    shown = f"{words.number(each.before, name)} → {words.number(each.after, name)}"
    lengths = Length(each.before, "before", each.before_interval), Length(each.after, "after", each.after_interval)
    return Bar(each.label, shown, lengths)


def _row(name: MetricName, each: _Tried) -> tuple[str, ...]:
    cells = (_with(each.before, each.before_interval, name), _with(each.after, each.after_interval, name))
    change = words.paired(name, each.before, each.after, each.drop_interval).text
    return each.label, *cells, _small(change, words.lost(each.drop_interval, name))


def _with(value: float | None, found: Interval, name: MetricName) -> Drawn:
    return _small(words.number(value, name), words.interval(found, name))


def _small(said: str, below: str) -> Drawn:
    return Drawn(said + (f"<small>{below}</small>" if below else ""))
