"""Where quality was lost, as figures."""

from pith.faces import words
from pith.figures.bars import Bar, Length, bars
from pith.figures.confusion import confusion
from pith.figures.svg import Drawn
from pith.figures.table import figure, table
from pith.findings.lost import ClassLoss, Confusion, Lost

_DRAWN = 12


def classes(lost: Lost) -> Drawn | None:
    """Recall of the classes that lost most; None where there are no classes."""
    if not lost.classes:
        return None
    drawn = lost.classes[:_DRAWN]
    half = len(drawn) if len(drawn) <= 5 else (len(drawn) + 1) // 2
    drawings = [_recalls(drawn[start : start + half]) for start in range(0, len(drawn), half)]
    which = (
        "Every class"
        if len(drawn) == len(lost.classes)
        else f"The {_DRAWN} classes of {len(lost.classes)} that lost most"
    )
    caption = f"{which}: the share of its samples that are taken for it, before above and after below."
    head = ("Class", "Samples", "Recall before", "Recall after", "Change", "Precision before", "Precision after")
    numbers = table("Every class, those that lost most first", head, map(_row, lost.classes))
    return figure(drawings, caption, numbers)


def _recalls(found: tuple[ClassLoss, ...]) -> Drawn:
    rows = [_recall(each) for each in found]
    return bars("Recall by class", "; ".join(f"{row.label}: {row.shown}" for row in rows), rows, longest=1.0)


def _recall(each: ClassLoss) -> Bar:
    shown = f"{words.share(each.recall_before)} → {words.share(each.recall_after)}"
    return Bar(each.name, shown, (Length(each.recall_before, "before"), Length(each.recall_after, "after")))


def _row(each: ClassLoss) -> tuple[str, ...]:
    before, after = each.recall_before, each.recall_after
    return (
        each.name,
        f"{each.samples:,}",
        words.share(before),
        words.share(after),
        words.change("accuracy", before, after).text,
        words.share(each.precision_before),
        words.share(each.precision_after),
    )


def matrices(found: Confusion) -> Drawn:
    """What was taken for what, before and after."""
    drawings = [
        Drawn(f'<p class="over">{when}</p>{_matrix(found, when, counts)}')
        for when, counts in (("Before", found.before), ("After", found.after))
    ]
    rows = [
        (f"{truth} taken for {taken}", str(then), str(now))
        for truth, before, after in zip(found.classes, found.before, found.after, strict=False)
        for taken, then, now in zip(found.classes, before, after, strict=False)
        if then or now
    ]
    caption = "Each row is what samples are, each column what they are taken for; the darker, the larger its share."
    return figure(drawings, caption, table("What is taken for what", ("Samples", "Before", "After"), rows))


def _matrix(found: Confusion, when: str, counts: tuple[tuple[int, ...], ...]) -> Drawn:
    right = sum(row[place] for place, row in enumerate(counts) if place < len(row))
    whole = sum(map(sum, counts))
    said = f"{right} of {whole} samples lie on the diagonal, where a class is taken for itself."
    return confusion(f"Confusion, {when.lower()}", said, found.classes, counts)
