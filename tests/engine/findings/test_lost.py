"""By class, between classes and sample by sample, against answers that are written down here."""

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.findings.form import Form
from engine.findings.lost import CLASSES, MATRIX, PAIRS, between
from engine.measure import Answers, answers
from pith.findings.lost import Lost
from tests.engine.findings.made import linear_model, samples_of

NUMBERS = Form("numbers")
NAMES = ("ant", "bee", "cat")


def said(chosen: list[int] | NDArray[Any], confidence: list[float] | None = None) -> Answers:
    sure = None if confidence is None else np.array(confidence)
    return Answers(np.array(chosen), confidence=sure)


def found(before: Answers, after: Answers, y: list[int] | None, names: tuple[str, ...] = NAMES) -> Lost:
    assert before.chosen is not None
    x = np.zeros((len(before.chosen), 2), np.float32)
    return between(before, after, samples_of(x, y=None if y is None else np.array(y)), names, NUMBERS)


def test_a_model_without_one_class_loses_exactly_there(tmp_path: Path) -> None:
    y = np.repeat(np.arange(3), 4)
    x = np.eye(3, dtype=np.float32)[y]
    whole, broken = np.eye(3) * 5, np.eye(3) * 5
    broken[:, 1] = (-9, -9, -9)
    broken[1, 2] = 1.0
    given_samples = samples_of(x, y=y)
    both = [
        answers(linear_model(tmp_path / f"{name}.onnx", matrix, (3,)), given_samples, 1)
        for name, matrix in (("whole", whole), ("broken", broken))
    ]
    lost = between(both[0], both[1], given_samples, NAMES, NUMBERS)
    assert [(row.name, row.recall_before, row.recall_after) for row in lost.classes] == [
        ("bee", 1.0, 0.0),
        ("ant", 1.0, 1.0),
        ("cat", 1.0, 1.0),
    ]
    assert lost.classes[0].precision_after is None, "nothing is taken for a bee any more"
    assert lost.classes[2].precision_after == 0.5, "half of what is taken for a cat is one"
    assert lost.confusion is not None and lost.confusion.classes == NAMES
    assert lost.confusion.after == ((4, 0, 0), (0, 0, 4), (0, 0, 4))
    assert [(pair.truth, pair.taken_for, pair.before, pair.after) for pair in lost.confused] == [("bee", "cat", 0, 4)]
    assert [(flip.sample, flip.truth, flip.before, flip.after) for flip in lost.flipped] == [
        (sample, "bee", "bee", "cat") for sample in (4, 5, 6, 7)
    ]
    sure = np.exp(1) / (np.exp(1) + 1 + np.exp(-9))
    assert lost.flipped[0].confidence_after is not None and abs(lost.flipped[0].confidence_after - sure) < 1e-6


def test_the_most_confident_mistake_comes_first_and_what_was_wrong_already_is_no_flip() -> None:
    lost = found(said([0, 1, 2, 2], [0.9] * 4), said([1, 2, 1, 0], [0.4, 0.8, 0.6, 0.7]), [0, 1, 2, 0])
    assert [flip.sample for flip in lost.flipped] == [1, 2, 0]
    assert [flip.confidence_after for flip in lost.flipped] == [0.8, 0.6, 0.4]


def test_without_labels_the_baseline_is_right() -> None:
    lost = found(said([0, 0, 1, 1]), said([0, 1, 1, 1]), None)
    assert [(row.name, row.samples, row.recall_before, row.recall_after) for row in lost.classes] == [
        ("ant", 2, 1.0, 0.5),
        ("bee", 2, 1.0, 1.0),
    ]
    assert lost.flipped[0].truth == "ant" and lost.flipped[0].confidence_after is None


def test_classes_without_names_are_numbers_and_those_without_samples_come_last() -> None:
    lost = found(said([0, 1, 5]), said([0, 7, 5]), [0, 0, 5], names=("ant",))
    assert [row.name for row in lost.classes] == ["ant", "5", "1", "7"]
    assert lost.classes[2].recall_before is None and lost.classes[2].precision_before == 0.0


def test_many_classes_have_no_matrix_and_no_list_is_endless() -> None:
    count = CLASSES + 50
    lost = found(said(np.arange(count)), said(np.roll(np.arange(count), 1)), list(range(count)), names=())
    assert lost.confusion is None and len(lost.classes) == CLASSES
    assert len(lost.confused) == PAIRS and len(lost.flipped) == 12
    assert found(said(np.arange(MATRIX)), said(np.arange(MATRIX)), None, names=()).confusion is not None


def test_regression_shows_the_samples_that_got_worst() -> None:
    y = np.array([[1.0], [2.0], [3.0]])
    given_samples = samples_of(np.ones((3, 2), np.float32), y=y, classes=False, task="tabular-regression")
    before, after = Answers(costs=np.array([0.1, 0.5, 0.2])), Answers(costs=np.array([0.4, 0.2, 0.9]))
    lost = between(before, after, given_samples, (), NUMBERS)
    assert [(row.sample, row.truth, row.before, row.after) for row in lost.worse] == [
        (2, "3", 0.2, 0.9),
        (0, "1", 0.1, 0.4),
    ]
    assert lost.classes == () and lost.flipped == ()


def test_costs_that_are_no_numbers_are_not_shown() -> None:
    given_samples = samples_of(np.ones((2, 2), np.float32), y=np.ones((2, 9)), classes=False, task="generic")
    before, after = Answers(costs=np.array([0.1, 0.1])), Answers(costs=np.array([np.nan, np.inf]))
    assert between(before, after, given_samples, (), NUMBERS).worse == ()


LABELS = st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=60)


@given(LABELS)
def test_the_tables_say_the_same_as_counting_by_hand(rows: list[tuple[int, int, int]]) -> None:
    y, before, after = (list(column) for column in zip(*rows, strict=True))
    lost = found(said(before), said(after), y, names=())
    assert lost.confusion is not None
    for said_of, matrix in ((before, lost.confusion.before), (after, lost.confusion.after)):
        assert sum(map(sum, matrix)) == len(rows)
        for truth, row in zip(lost.confusion.classes, matrix, strict=True):
            for other, count in zip(lost.confusion.classes, row, strict=True):
                assert count == sum((str(t), str(p)) == (truth, other) for t, p in zip(y, said_of, strict=True))
    for own in lost.classes:
        place = lost.confusion.classes.index(own.name)
        hits, taken = lost.confusion.after[place][place], sum(row[place] for row in lost.confusion.after)
        assert own.samples == y.count(int(own.name))
        assert own.recall_after == (hits / own.samples if own.samples else None)
        assert own.precision_after == (hits / taken if taken else None)
    assert {flip.sample for flip in lost.flipped} <= {
        index for index, (t, b, a) in enumerate(rows) if t == b and t != a
    }
    assert all(pair.after > pair.before for pair in lost.confused)
