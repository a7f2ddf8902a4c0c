"""Where quality was lost: by class, between classes, and sample by sample.

Nothing is run again: the answers are those that quality was measured by.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.findings.evidence import Evidence, LeftOut
from engine.findings.form import Form, form_of
from engine.findings.said import class_name, numbers
from engine.findings.shown import shown
from engine.measure import Answers, Samples
from pith.findings.lost import ClassLoss, Confused, Confusion, Flipped, Lost, Worse
from pith.findings.shown import Shown

Classes = NDArray[np.int64]
Name = Callable[[int], str]

MATRIX, CLASSES, PAIRS, SAMPLES = 20, 1000, 12, 12


def lost(evidence: Evidence) -> Lost:
    """
    Raises:
        LeftOut: a short report, or nothing that an answer could be right about.
    """
    if evidence.short:
        raise LeftOut("the job asked for a short report")
    samples, dataset = evidence.samples, evidence.ctx.dataset
    check_data(samples)
    before, after = evidence.answers()
    names = dataset.classes if dataset is not None else ()
    return between(before, after, samples, names, form_of(samples, dataset))


def check_data(samples: Samples) -> None:
    """
    Raises:
        LeftOut: no dataset, or one without labels for a model without classes.
    """
    if samples.origin == "random inputs":
        raise LeftOut("quality was measured on random inputs, of which nobody knows what is right")
    if samples.quality is None:
        raise LeftOut("the dataset has no labels, and the outputs are no scores of classes")


def between(before: Answers, after: Answers, samples: Samples, names: tuple[str, ...], form: Form) -> Lost:
    """Two models' answers about the same samples."""

    def show(sample: int) -> Shown:
        return shown(form, np.asarray(samples.split.x[form.place][sample : sample + 1])[0])

    if before.chosen is None or after.chosen is None:
        return Lost(worse=_worse(before, after, samples, show))
    truth = before.chosen if samples.split.y is None else np.asarray(samples.split.y, np.int64)
    occurring = np.unique(np.concatenate([truth, before.chosen, after.chosen]))

    def name(number: int) -> str:
        return class_name(names, number)

    return Lost(
        classes=_classes(truth, before.chosen, after.chosen, occurring, name),
        confusion=_confusion(truth, before.chosen, after.chosen, occurring, name),
        confused=_confused(truth, before.chosen, after.chosen, name),
        flipped=_flipped(truth, before, after, name, show),
    )


def flips(truth: Classes, before: Answers, after: Answers) -> Classes:
    """The samples that were right and are wrong, the most confident mistakes first."""
    assert before.chosen is not None and after.chosen is not None
    found = np.flatnonzero((before.chosen == truth) & (after.chosen != truth))
    sure = np.zeros(len(found)) if after.confidence is None else after.confidence[found]
    return found[np.argsort(-sure, kind="stable")]


def worst(before: Answers, after: Answers) -> Classes:
    """The samples that cost more than they did, those that lost most first."""
    assert before.costs is not None and after.costs is not None
    rise = np.nan_to_num(after.costs - before.costs, nan=0.0, posinf=0.0, neginf=0.0)
    order = np.argsort(-rise, kind="stable")
    return order[rise[order] > 0]


def _classes(truth: Classes, before: Classes, after: Classes, occurring: Classes, name: Name) -> tuple[ClassLoss, ...]:
    size = int(occurring[-1]) + 1
    own, said_before, said_after = (np.bincount(each, minlength=size) for each in (truth, before, after))
    hit_before, hit_after = (np.bincount(truth[truth == said], minlength=size) for said in (before, after))
    found = [
        ClassLoss(
            name=name(number),
            samples=int(own[number]),
            recall_before=_share(hit_before[number], own[number]),
            recall_after=_share(hit_after[number], own[number]),
            precision_before=_share(hit_before[number], said_before[number]),
            precision_after=_share(hit_after[number], said_after[number]),
        )
        for number in occurring.tolist()
    ]
    return tuple(sorted(found, key=_gain)[:CLASSES])


def _share(hits: np.int64, of: np.int64) -> float | None:
    return float(hits / of) if of else None


def _gain(row: ClassLoss) -> float:
    """Of recall; classes without samples come last."""
    if row.recall_before is None or row.recall_after is None:
        return 2.0
    return row.recall_after - row.recall_before


def _confusion(truth: Classes, before: Classes, after: Classes, occurring: Classes, name: Name) -> Confusion | None:
    if len(occurring) > MATRIX:
        return None
    return Confusion(
        classes=tuple(name(number) for number in occurring.tolist()),
        before=_matrix(truth, before, occurring),
        after=_matrix(truth, after, occurring),
    )


def _matrix(truth: Classes, said: Classes, occurring: Classes) -> tuple[tuple[int, ...], ...]:
    size = len(occurring)
    codes = np.searchsorted(occurring, truth) * size + np.searchsorted(occurring, said)
    counts = np.bincount(codes, minlength=size * size).reshape(size, size)
    return tuple(tuple(row) for row in counts.tolist())


def _confused(truth: Classes, before: Classes, after: Classes, name: Name) -> tuple[Confused, ...]:
    was, now = _mistaken(truth, before), _mistaken(truth, after)
    grown = sorted((was.get(pair, 0) - count, pair) for pair, count in now.items() if count > was.get(pair, 0))
    return tuple(
        Confused(truth=name(pair[0]), taken_for=name(pair[1]), before=was.get(pair, 0), after=now[pair])
        for _, pair in grown[:PAIRS]
    )


def _mistaken(truth: Classes, said: Classes) -> dict[tuple[int, int], int]:
    wrong = truth != said
    pairs, counts = np.unique(np.stack([truth[wrong], said[wrong]]), axis=1, return_counts=True)
    return {(int(own), int(other)): int(count) for own, other, count in zip(*pairs, counts, strict=True)}


def _flipped(
    truth: Classes, before: Answers, after: Answers, name: Name, show: Callable[[int], Shown]
) -> tuple[Flipped, ...]:
    assert before.chosen is not None and after.chosen is not None
    return tuple(
        Flipped(
            sample=sample,
            truth=name(int(truth[sample])),
            before=name(int(before.chosen[sample])),
            after=name(int(after.chosen[sample])),
            confidence_before=None if before.confidence is None else float(before.confidence[sample]),
            confidence_after=None if after.confidence is None else float(after.confidence[sample]),
            shown=show(sample),
        )
        for sample in flips(truth, before, after)[:SAMPLES].tolist()
    )


def _worse(before: Answers, after: Answers, samples: Samples, show: Callable[[int], Shown]) -> tuple[Worse, ...]:
    assert before.costs is not None and after.costs is not None and samples.split.y is not None
    return tuple(
        Worse(
            sample=sample,
            truth=numbers(samples.split.y[sample]),
            before=float(before.costs[sample]),
            after=float(after.costs[sample]),
            shown=show(sample),
        )
        for sample in worst(before, after)[:SAMPLES].tolist()
    )
