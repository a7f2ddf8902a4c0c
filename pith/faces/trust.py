"""Calibration and robustness, as figures."""

from pith.faces import words
from pith.figures.bars import Bar, Length, bars
from pith.figures.reliability import Bin, reliability
from pith.figures.svg import Drawn
from pith.figures.table import figure, table
from pith.findings.trust import Calibration, Disturbance, Reliability, ReliabilityBin, Trust


def calibration(found: Calibration) -> Drawn:
    """Reliability before and after."""
    drawings = [_diagram("Before", found.before, "before"), _diagram("After", found.after, "after")]
    rows = [_bins(*pair) for pair in zip(found.before.bins, found.after.bins, strict=False)]
    head = ("Confidence", "Samples before", "Confidence before", "Right before", "Samples after", "Confidence after",
            "Right after")  # fmt: skip
    caption = (
        f"How often answers are right, by how sure the model is, on {found.samples:,} samples. On the dashed line "
        "confidence means what it says; red is what is missing to it, blue what is beyond it."
    )
    return figure(drawings, caption, table("Confidence and accuracy, bin by bin", head, rows))


def _bins(then: ReliabilityBin, now: ReliabilityBin) -> tuple[str, ...]:
    figures = (
        figure
        for each in (then, now)
        for figure in (str(each.samples), *map(words.share, (each.confidence, each.accuracy)))
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


def disturbances(trust: Trust) -> Drawn | None:
    """Quality of disturbed samples, after that of the same ones undisturbed; None where none were."""
    if not trust.disturbances or trust.metric is None:
        return None
    label, tried = words.LABELS[trust.metric], _tried(trust)
    rows = [_bar(trust.metric, *each) for each in tried]
    said = "; ".join(f"{row.label}: {row.shown}" for row in rows)
    head = ("Disturbance", "Before", "After", "Change")
    numbers = table(f"{label} of disturbed samples", head, (_row(trust.metric, *each) for each in tried))
    caption = f"{label} on the same {trust.samples:,} samples, disturbed: baseline above, result below."
    whole = 1.0 if trust.metric in ("accuracy", "agreement") else None
    return figure([bars(f"{label} under disturbance", said, rows, whole)], caption, numbers)


def _tried(trust: Trust) -> list[tuple[str, float | None, float | None]]:
    clean = [] if trust.clean_after is None else [("Undisturbed", trust.clean_before, trust.clean_after)]
    return [*clean, *((_named(each), each.before, each.after) for each in trust.disturbances)]


def _named(each: Disturbance) -> str:
    return f"{each.name.capitalize()}, {each.strength:.3g} {each.unit}"


def _bar(name: str, label: str, before: float | None, after: float | None) -> Bar:
    shown = f"{words.number(before, name)} → {words.number(after, name)}"
    return Bar(label, shown, (Length(before, "before"), Length(after, "after")))


def _row(name: str, label: str, before: float | None, after: float | None) -> tuple[str, ...]:
    return label, words.number(before, name), words.number(after, name), words.change(name, before, after).text
