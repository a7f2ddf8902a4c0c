"""A sample as a figure, whatever it is; and what a model looks at in it."""

from collections.abc import Sequence

from pith.faces import words
from pith.figures.bars import Bar, Length, bars
from pith.figures.heat import picture
from pith.figures.svg import Drawn, said
from pith.figures.table import figure, table
from pith.figures.waveform import waveform
from pith.findings.looks import Look
from pith.findings.shown import Shown, ShownImage, ShownNumbers, ShownRow, ShownSound, ShownText

_PARTS = 12


def sample(shown: Shown | None, name: str) -> Drawn:
    """``name`` is what it is called to who cannot see it."""
    match shown:
        case ShownImage():
            return picture(name, f"{shown.width} by {shown.height} pixels", shown.address, (shown.width, shown.height))
        case ShownSound():
            return waveform(name, "A waveform", shown.low, shown.high, shown.seconds)
        case ShownText():
            return Drawn(f'<blockquote class="words">{said(shown.text)}</blockquote>')
        case ShownRow():
            rows = [(column, _value(value)) for column, value in shown.values]
            return table(name, ("Column", "Value"), rows, shown=False)
        case ShownNumbers():
            size = " × ".join(map(str, shown.shape)) or "one"
            ranges = f"from {shown.minimum:.4g} to {shown.maximum:.4g}, mean {shown.mean:.4g}"
            return Drawn(f'<p class="soft">{said(f"{size} numbers, {ranges}")}</p>')
    return Drawn('<p class="soft">not shown</p>')


def _value(value: str | float | None) -> str:
    return "missing" if value is None else value if isinstance(value, str) else f"{value:.6g}"


def look(found: Look) -> Drawn:
    """What counts for the baseline and for the result, and its numbers."""
    names, shown = _names(found), found.shown
    if isinstance(shown, ShownImage | ShownSound) and not found.names:
        drawings = [
            _map(shown, (found.rows, found.columns), "Before", found.before_says, found.before),
            _map(shown, (found.rows, found.columns), "After", found.after_says, found.after),
        ]
    else:
        drawings = [_strongest(found, names)]
    rows = [
        (name, words.signed(then), words.signed(now))
        for name, then, now in zip(names, found.before, found.after, strict=False)
    ]
    numbers = table("What is lost when a part is covered", ("Part", "Before", "After"), rows)
    same = "not known, as one of them is flat" if found.similarity is None else f"{found.similarity:.2f}"
    return figure(drawings, f"Sample {found.sample}; similarity of before and after {same}.", numbers)


def _map(
    shown: ShownImage | ShownSound, parts: tuple[int, int], when: str, says: str, values: Sequence[float]
) -> Drawn:
    title, told = f"What it looks at, {when.lower()}", f"{when} it says {says}."
    if isinstance(shown, ShownImage):
        drawn = picture(title, told, shown.address, (shown.width, shown.height), values, parts)
    else:
        drawn = waveform(title, told, shown.low, shown.high, shown.seconds, values)
    return Drawn(f'<p class="over">{when}: {said(says)}</p>{drawn}')


def _strongest(found: Look, names: Sequence[str]) -> Drawn:
    """The parts that count most, in reading order."""
    weights = list(zip(names, found.before, found.after, strict=False))
    most = sorted(range(len(weights)), key=lambda place: -max(map(abs, weights[place][1:])))[:_PARTS]
    rows = [
        Bar(
            name,
            f"{words.signed(then, '.3f')} → {words.signed(now, '.3f')}",
            (_length(then, "before"), _length(now, "after")),
        )
        for name, then, now in (weights[place] for place in sorted(most))
    ]
    title, told = "What it looks at", f"Before it says {found.before_says}, after {found.after_says}."
    over = f"{found.before_says} → {found.after_says}"
    return Drawn(f'<p class="over">{said(over)}</p>{bars(title, told, rows)}')


def _length(value: float, tone: str) -> Length:
    """How much it counts; what speaks against the answer has another colour."""
    return Length(abs(value), tone if value >= 0 else "bad")


def _names(found: Look) -> tuple[str, ...]:
    if len(found.names) >= len(found.before):
        return found.names
    if found.rows == 1:
        return tuple(f"part {place + 1}" for place in range(len(found.before)))
    return tuple(
        f"row {place // found.columns + 1}, column {place % found.columns + 1}" for place in range(len(found.before))
    )
