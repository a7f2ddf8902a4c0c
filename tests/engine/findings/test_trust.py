"""Calibration by hand; disturbances that change nothing, or what they say; attacks within their bounds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.findings.asked import Asked
from engine.findings.attack import attacked
from engine.findings.disturb import ADVERSARIAL, DISTURBANCES, Change, furthest, reaches
from engine.findings.exam import Exam, exam
from engine.findings.form import Form
from engine.findings.trust import TRIES, Trials, _shared_out, calibration, reliability, under_stress
from engine.measure import Answers, Samples, answers
from engine.probabilities import are_probabilities, probabilities
from pith.findings.trust import Trust
from tests.engine.findings.made import linear_model, pictured, samples_of, tabled, word_model, worded


def of_form(kind: str) -> tuple[Form, NDArray[Any]]:
    """Six samples of that kind."""
    random = np.random.default_rng(1)
    if kind == "image":
        form = pictured()
        return form, (form.low + random.random((6, 3, 16, 32)) * (form.high - form.low)).astype(np.float32)
    if kind == "text":
        return worded(), np.concatenate([random.integers(3, 8, (6, 10)), np.zeros((6, 2), int)], axis=1)
    if kind == "table":
        values = np.zeros((6, 6), np.float32)
        values[:, :2] = random.standard_normal((6, 2))
        values[np.arange(6), 3 + random.integers(0, 2, 6)] = 1
        return tabled(), values
    shape = {
        "plain image": (1, 9, 40),
        "wave": (1, 200),
        "spectrogram": (1, 20, 30),
        "numbers": (4, 5),
        "plain table": (7,),
    }
    kind_of: dict[str, Any] = {"plain image": "image", "plain table": "table"}
    form = Form(kind_of.get(kind, kind), low=-9.0, high=9.0)
    return form, random.standard_normal((6, *shape[kind])).astype(np.float32)  # fmt: skip


KINDS = ("image", "plain image", "wave", "spectrogram", "text", "table", "plain table", "numbers")
CHANGES = [(kind, change) for kind in KINDS for change in DISTURBANCES[of_form(kind)[0].kind]]
EACH = pytest.mark.parametrize(("kind", "change"), CHANGES, ids=[f"{kind}, {change.name}" for kind, change in CHANGES])


def made(kind: str, change: Change, strength: float, seed: int = 3) -> tuple[NDArray[Any], NDArray[Any]]:
    form, x = of_form(kind)
    return x, change.make(form, x.copy(), strength, np.random.default_rng(seed))


@EACH
def test_a_strength_of_nothing_changes_nothing(kind: str, change: Change) -> None:
    x, found = made(kind, change, 0)
    assert found.dtype == x.dtype and np.abs(found - x).max() < 1e-5


@EACH
def test_each_sample_is_disturbed_the_same_each_time_within_what_is_possible(kind: str, change: Change) -> None:
    x, found = made(kind, change, change.strength)
    assert found.shape == x.shape and found.dtype == x.dtype
    changed = (np.abs(found - x) > 1e-3).reshape(len(x), -1).any(axis=1)
    assert changed.all() if change.name != "missing values" else changed.any()
    assert (made(kind, change, change.strength)[1] == found).all(), "the same seed, the same disturbance"
    low, high = reaches(of_form(kind)[0], x)
    assert (found >= low - 1e-4).all() and (found <= high + 1e-4).all()


def test_strengths_mean_what_their_units_say() -> None:
    form, x = of_form("image")
    random = np.random.default_rng(0)
    changes = {change.name: change for change in DISTURBANCES["image"]}
    span = np.broadcast_to(form.high - form.low, x.shape[1:])
    grey = np.broadcast_to((form.low + form.high) / 2, x.shape).astype(np.float32)
    brighter = changes["brightness"].make(form, grey, 20, random)
    assert np.allclose((brighter - grey) / span, 0.2, atol=1e-5)
    white = np.broadcast_to(form.high, x.shape).astype(np.float32)
    assert (changes["brightness"].make(form, white, 20, random) == white).all(), "nothing is brighter than white"
    noisy = changes["noise"].make(form, grey, 10, random)
    assert ((noisy - grey) / span).std() == pytest.approx(0.1, rel=0.1)
    faint = changes["contrast"].make(form, x, 50, random)
    assert np.allclose(faint.std(axis=(2, 3)), x.std(axis=(2, 3)) / 2, rtol=1e-3)
    assert np.allclose(faint.mean(axis=(2, 3)), x.mean(axis=(2, 3)), atol=1e-4)
    blurred = changes["blur"].make(form, x, 10, random)
    assert blurred.std() < x.std() / 2


def test_silence_is_one_span_and_missing_words_and_values_are_as_a_model_would_meet_them() -> None:
    x, found = made("wave", DISTURBANCES["wave"][1], 20)
    for row in found[:, 0] == 0:
        assert row.sum() == 40 and np.ptp(np.flatnonzero(row)) == 39
    x, found = made("text", DISTURBANCES["text"][0], 20)
    assert ((found == 1) & (x != 1)).sum(axis=1).tolist() == [2] * 6 and (found[:, 10:] == 0).all()
    x, found = made("table", DISTURBANCES["table"][1], 100)
    assert (found == np.array([0, 0, 1, 0, 0, 1], np.float32)).all(), "means, a mark, and the unknown town"
    noisy = made("table", DISTURBANCES["table"][0], 1)[1]
    assert (noisy[:, 2:] == x[:, 2:]).all(), "marks and categories are no numbers to disturb"


def test_the_calibration_error_is_the_one_worked_out_by_hand() -> None:
    found = reliability(np.array([0.95, 0.85, 0.95, 0.25]), np.array([True, False, False, True]))
    by_hand = (2 * abs(0.95 - 0.5) + 1 * abs(0.85 - 0) + 1 * abs(0.25 - 1)) / 4
    assert found.ece == pytest.approx(by_hand)
    assert [each.samples for each in found.bins] == [0, 0, 1, 0, 0, 0, 0, 0, 1, 2]
    assert found.bins[0].confidence is None and found.bins[9].accuracy == 0.5
    assert found.bins[2].low == 0.2 and found.bins[2].high == 0.3
    whole = reliability(np.array([0.0, 1.0]), np.array([False, True]))
    assert whole.ece == 0 and whole.bins[0].samples == whole.bins[9].samples == 1, "both ends belong to a bin"


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_bins_hold_every_sample_once(given_samples: list[tuple[float, bool]]) -> None:
    confidence, right = (np.array(each) for each in zip(*given_samples, strict=True))
    found = reliability(confidence, right)
    assert sum(each.samples for each in found.bins) == len(given_samples) and 0 <= found.ece <= 1
    assert found.ece + 1e-9 >= abs(confidence.mean() - right.mean()), "no less than the gap of the whole"
    for each in found.bins:
        assert each.confidence is None or each.low - 1e-9 <= each.confidence <= each.high + 1e-9


def test_calibration_needs_labels_and_classes() -> None:
    said = Answers(np.array([0, 1]), confidence=np.array([0.5, 0.75]))
    labelled, unlabelled = samples_of(np.zeros((2, 1)), y=np.array([0, 0])), samples_of(np.zeros((2, 1)))
    found = calibration(said, said, labelled)
    assert found is not None and found.before == found.after and found.samples == 2
    assert found.before.ece == pytest.approx((0.5 + 0.75) / 2)
    assert calibration(said, said, unlabelled) is None
    assert calibration(Answers(costs=np.zeros(2)), Answers(costs=np.zeros(2)), labelled) is None


def test_probabilities_are_known_and_left_alone(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    given_samples = samples_of(x, y=np.zeros(8, int))
    matrix = np.random.default_rng(1).standard_normal((3, 4))
    scores = answers(linear_model(tmp_path / "scores.onnx", matrix, (3,)), given_samples, 1)
    chances = answers(linear_model(tmp_path / "chances.onnx", matrix, (3,), probabilities=True), given_samples, 1)
    assert scores.confidence is not None and np.allclose(scores.confidence, chances.confidence, atol=1e-6)
    eighths = np.rint(probabilities(x @ matrix, already=False) * 255) / 255
    assert are_probabilities(eighths), "eight bits of a probability are still one"
    assert not are_probabilities(x @ matrix) and not are_probabilities(np.full((2, 3), 0.9))
    assert not are_probabilities(np.zeros((2, 3)))


def test_what_is_no_number_is_no_confidence() -> None:
    found = probabilities(np.array([[np.nan, 1.0], [np.inf, 0.0], [1e300, 0.0]]), already=False)
    assert np.isfinite(found).all() and found[0].tolist() == [0, 0] and found[2].tolist() == [1, 0]


def two_bright_halves(count: int = 40) -> tuple[NDArray[Any], NDArray[Any]]:
    """Dark pictures of one channel whose left (0) or right half (1) is a little brighter."""
    random = np.random.default_rng(5)
    y = random.integers(0, 2, count)
    x = random.random((count, 1, 8, 8)).astype(np.float32) * 0.02 + 0.4
    for row, side in zip(x, y, strict=True):
        row[0, :, 4 * side : 4 * side + 4] += 0.02
    return x, y


def halves_matrix() -> NDArray[Any]:
    left = np.zeros((8, 8))
    left[:, :4] = 1
    return np.stack([left.reshape(-1), 1 - left.reshape(-1)], axis=1)


def stressed(path: Path, given_exam: Exam, form: Form, seed: int = 0, attack: bool = True) -> Trust:
    model = Asked(path, 1)
    return under_stress(Trust(), given_exam, form, (model, model), seed, Trials(len(given_exam), attack=attack))


def exam_of(samples: Samples, path: Path) -> Exam:
    return exam(samples, answers(path, samples, 1), np.arange(len(samples)))


def test_equal_models_suffer_alike_and_a_seed_repeats_it(tmp_path: Path) -> None:
    x, y = two_bright_halves()
    path = linear_model(tmp_path / "model.onnx", halves_matrix(), (1, 8, 8))
    given_exam = exam_of(samples_of(x, y=y), path)
    found = stressed(path, given_exam, Form("image"))
    assert found.clean_before == found.clean_after == 1.0 and found.metric == "accuracy" and found.samples == 40
    names = list(dict.fromkeys(each.name for each in found.disturbances))
    assert names == ["noise", "blur", "brightness", "contrast", "adversarial"]
    assert [each.strength for each in found.disturbances if each.name == "noise"] == [2.5, 5, 10]
    assert all(each.before == each.after and each.further == each.drop == 0 for each in found.disturbances)
    assert stressed(path, given_exam, Form("image")) == found
    lost = {each.name: each.before for each in found.disturbances}
    assert lost["brightness"] == 1.0, "both halves are as much brighter"
    assert lost["adversarial"] < 0.5, "a linear model is easily fooled"


def test_an_attack_stays_within_its_bounds_and_leaves_what_it_cannot_turn(tmp_path: Path) -> None:
    x, y = two_bright_halves()
    path = linear_model(tmp_path / "model.onnx", halves_matrix(), (1, 8, 8))
    model, given_exam, form = Asked(path, 1), exam_of(samples_of(x, y=y), path), Form("image", high=0.5)

    def margin(values: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return given_exam.margin(model.first((values,)), rows)

    def attack(strength: float) -> NDArray[Any]:
        reach, random = furthest(form, x, strength), np.random.default_rng(0)
        return attacked(margin, x, reach, reaches(form, x), flat=False, won=0.0, random=random)

    every = np.arange(len(x))
    assert (attack(0) == x).all(), "no strength, no change"
    moved = attack(3)
    assert np.abs(moved - x).max() <= 0.015 + 1e-6 and moved.max() <= max(0.5, float(x.max())) + 1e-6
    assert (margin(moved, every) <= margin(x, every) + 1e-6).all() and moved.dtype == np.float32
    assert (margin(moved, every) < margin(x, every)).all()


def test_what_is_wrong_already_is_not_attacked() -> None:
    x = np.ones((3, 4), np.float32)
    asked: list[int] = []

    def margin(values: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        asked.extend(rows.tolist())
        return np.array([-1.0, 0.5, -2.0])[rows]

    found = attacked(margin, x, np.array(0.1), (np.array(-9.0), np.array(9.0)), True, 0.0, np.random.default_rng(0))
    assert asked[:3] == [0, 1, 2] and set(asked[3:]) == {1} and (found[[0, 2]] == x[[0, 2]]).all()


def test_a_table_is_attacked_in_its_numbers_alone() -> None:
    form, x = of_form("table")
    assert (furthest(form, x, 1.0)[0, 2:] == 0).all() and (furthest(form, x, 1.0)[0, :2] > 0).all()


def test_texts_lose_words_with_their_mask_as_it_was_and_are_not_attacked(tmp_path: Path) -> None:
    weights = np.zeros((8, 2))
    weights[3, 0] = weights[4, 1] = 1.0
    path = word_model(tmp_path / "words.onnx", weights)
    ids = np.tile([5, 3, 6, 7, 6, 7, 0, 0], (30, 1))
    mask = (ids > 0).astype(np.int64)
    ids[15:, 1] = 4
    samples = samples_of(ids, mask, y=np.repeat([0, 1], 15))
    found = stressed(path, exam_of(samples, path), worded(), attack=False)
    assert found.clean_before == 1.0 and {each.name for each in found.disturbances} == {"missing words"}
    weakest, middle, strongest = (each.before for each in found.disturbances)
    assert 0.6 < middle < 1.0, "two words of six, and one decides; a tie is the first class"
    assert strongest <= middle <= weakest, "a stronger one is more of the same"
    assert "text" not in ADVERSARIAL and "codes" not in ADVERSARIAL


def test_without_labels_the_undisturbed_baseline_is_right(tmp_path: Path) -> None:
    x, _ = two_bright_halves()
    path = linear_model(tmp_path / "model.onnx", halves_matrix(), (1, 8, 8))
    found = stressed(path, exam_of(samples_of(x), path), Form("image"), attack=False)
    assert found.metric == "agreement" and found.clean_before == 1.0


def test_regression_is_judged_by_its_metric_and_attacked_by_its_cost(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((30, 3)).astype(np.float32)
    matrix = np.array([[1.0], [2.0], [0.0]])
    path = linear_model(tmp_path / "model.onnx", matrix, (3,))
    samples = samples_of(x, y=(x @ matrix).astype(np.float32), classes=False, task="tabular-regression")
    found = stressed(path, exam_of(samples, path), Form("table"))
    assert found.metric == "r2" and found.clean_before == pytest.approx(1.0)
    values = {each.name: each.before for each in found.disturbances if each.strength in (0.3, 20, 0.1)}
    assert values["missing values"] < values["noise"] < 1 and values["adversarial"] < 0.999
    other = stressed(path, exam_of(samples, path), Form("table"), seed=1)
    pairs = zip(found.disturbances, other.disturbances, strict=True)
    assert all(one.before != another.before for one, another in pairs), "another seed, other noise"


def test_values_that_are_no_numbers_are_not_told(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    path = linear_model(tmp_path / "model.onnx", np.full((3, 1), 3e38), (3,))
    samples = samples_of(x, y=np.ones((20, 1), np.float32), classes=False, task="generic")
    found = stressed(path, exam_of(samples, path), Form("table"))
    assert found.disturbances == () and found.clean_before is None


def test_what_is_lost_under_a_disturbance_has_paired_intervals(tmp_path: Path) -> None:
    """The result leans to one side, the more so the brighter a picture is."""
    x, y = two_bright_halves(200)
    good = linear_model(tmp_path / "good.onnx", halves_matrix(), (1, 8, 8))
    poor = linear_model(tmp_path / "poor.onnx", halves_matrix() * [1, 1.03], (1, 8, 8))
    given_exam = exam_of(samples_of(x, y=y), good)
    found = under_stress(
        Trust(), given_exam, Form("image"), (Asked(good, 1), Asked(poor, 1)), 0, Trials(len(given_exam))
    )
    assert found.samples == 200 and found.clean_drop == pytest.approx(found.clean_before - found.clean_after)  # type: ignore[operator]
    for each in found.disturbances:
        assert each.drop == pytest.approx(each.before - each.after)
        assert each.further == pytest.approx(each.drop - found.clean_drop)  # type: ignore[operator]
        for value, interval in (
            (each.before, each.before_interval),
            (each.after, each.after_interval),
            (each.drop, each.drop_interval),
            (each.further, each.further_interval),
        ):
            assert interval is not None and interval[0] <= value + 1e-9 and value <= interval[1] + 1e-9
    lost = next(each for each in found.disturbances if each.drop and each.drop > 0.05)
    assert lost.drop_interval is not None and lost.before_interval is not None and lost.after_interval is not None
    apart = (lost.before_interval[1] - lost.after_interval[0]) - (lost.before_interval[0] - lost.after_interval[1])
    assert lost.drop_interval[1] - lost.drop_interval[0] < apart, "the same samples say more than two draws of them"


@pytest.mark.parametrize(
    ("each", "attack", "wanted"),
    [
        (1000, True, Trials(256, True, True)),
        (64, True, Trials(64, True, True)),
        (30, True, Trials(35, False, True)),
        (5, True, Trials(55, False, False)),
        (1, True, None),
        (64, False, Trials(256, True, False)),
        (1, False, None),
    ],
)
def test_what_may_be_asked_is_shared_out(each: int, attack: bool, wanted: Trials | None) -> None:
    """``each`` is how many samples there are runs for with all strengths and an attack."""
    changes = DISTURBANCES["image"]
    runs = each * (3 * len(changes) + 1 + TRIES + 2)
    assert _shared_out(runs, changes, attack) == wanted
    if wanted is not None:
        asked = sum(len(wanted.strengths(change)) for change in changes) + 1 + (TRIES + 2) * wanted.attack
        assert wanted.samples * asked <= runs
