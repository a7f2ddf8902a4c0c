"""Maps of models that are known to look at one thing alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from engine.findings.asked import Asked
from engine.findings.cover import cover, typical
from engine.findings.form import Form
from engine.findings.looks import Viewer, interesting, spearman
from engine.measure import Answers, answers
from pith.findings.looks import Look, Looks
from tests.engine.findings.made import linear_model, pictured, samples_of, tabled, word_model, worded


def seen(
    paths: tuple[Path, Path], form: Form, *x: NDArray[Any], y: Any = None, parts: int = 64, **given_samples: Any
) -> Looks:
    samples = samples_of(*x, y=y, **given_samples)
    models = tuple(Asked(path, 1) for path in paths)
    viewer = Viewer(samples, form, models, ("left", "right"), parts, seed=0)
    return viewer.looks(list(range(min(2, len(samples)))), answers(paths[0], samples, 1))


def one_patch(path: Path, row: int, column: int) -> Path:
    """The first class scores the brightness of one patch of a 16 by 16 picture, the second nothing."""
    weights = np.zeros((16, 16))
    weights[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = 1.0
    return linear_model(path, np.stack([weights.reshape(-1), np.zeros(256)], axis=1), (1, 16, 16))


def share_of(look: Look, numbers: tuple[float, ...], row: int, column: int) -> float:
    return abs(numbers[row * look.columns + column]) / sum(map(abs, numbers))


def test_a_model_that_looks_at_one_patch_has_its_map_there(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((5, 1, 16, 16)).astype(np.float32)
    x[:2, 0, 4:6, 10:12] = x[:2, 0, 12:14, 2:4] = 1.0
    before, after = one_patch(tmp_path / "a.onnx", 2, 5), one_patch(tmp_path / "b.onnx", 6, 1)
    found = seen((before, after), Form("image"), x, y=np.zeros(5, int))
    for look in found.looks:
        assert (look.rows, look.columns, look.truth, look.before_says) == (8, 8, "left", "left")
        assert share_of(look, look.before, 2, 5) == 1.0 and share_of(look, look.after, 6, 1) == 1.0
        assert look.before[2 * 8 + 5] > 0.05, "what is covered takes probability away"
        assert look.similarity is not None and look.similarity < 0.1
    same = seen((before, before), Form("image"), x)
    assert same.similarity == 1.0 and same.looks[0].truth is None


def test_colours_are_covered_by_their_mean_and_spectrograms_stand_upright() -> None:
    form = pictured()
    x = np.arange(2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 4)
    fill = typical(form, x)
    assert fill.reshape(3).tolist() == x.mean(axis=(0, 2, 3)).tolist()
    parts = cover(form, x[0], 64)
    assert parts is not None and (parts.rows, parts.columns) == (4, 4), "no more parts than there are pixels"
    covered = parts.covered(x[0], fill)
    assert (covered != x[0]).sum(axis=(1, 2, 3)).tolist() == [3] * 16
    bands = cover(Form("spectrogram"), np.zeros((1, 16, 8), np.float32), 64)
    assert bands is not None and bands.masks[0, 0, 14:, 0].all() and bands.masks[0].sum() == 2


def test_the_word_that_decides_is_found_and_the_mask_goes_with_it(tmp_path: Path) -> None:
    weights = np.zeros((8, 2))
    weights[3, 0] = 4.0
    path = word_model(tmp_path / "words.onnx", weights)
    ids = np.array([[2, 6, 3, 5, 2, 0], [6, 5, 6, 5, 3, 0], [0] * 6])
    look, other = seen((path, path), worded(), ids, (ids > 0).astype(np.int64)).looks
    assert look.names == ("the", "good", "film") and (look.rows, look.columns) == (1, 3)
    assert look.before[1] > 0.4 and look.before[0] == look.before[2] == 0
    assert other.names.index("good") == int(np.argmax(other.before)) == 4


def test_a_text_without_words_is_left_out_and_long_ones_are_covered_some_words_at_a_time(tmp_path: Path) -> None:
    path = word_model(tmp_path / "words.onnx", np.eye(8)[:, :2])
    empty = np.zeros((1, 4), np.int64)
    assert seen((path, path), worded(), empty, empty) == Looks(looks=(), similarity=None)
    parts = cover(worded(), np.tile([5, 6], 50), 16)
    assert parts is not None and parts.columns == 16 and parts.names[0] == "film the film the film the film"


def test_a_column_is_covered_whole_by_its_mean(tmp_path: Path) -> None:
    matrix = np.zeros((6, 1))
    matrix[0], matrix[4] = 2.0, 1.0
    path = linear_model(tmp_path / "table.onnx", matrix, (6,))
    x = np.array([[1, 0, 0, 0, 1, 0], [-1, 0, 0, 1, 0, 0]], np.float32)
    found = seen((path, path), tabled(), x, y=np.ones((2, 1)), classes=False, task="tabular-regression")
    assert found.looks[0].names == ("age", "income", "town") and found.looks[0].truth == "1"
    assert found.looks[0].before == pytest.approx((2.0, 0.0, 0.5)) and found.looks[0].before_says == "3"
    assert found.looks[1].before == pytest.approx((-2.0, 0.0, -0.5))


def test_many_columns_and_a_sound_have_parts_of_several(tmp_path: Path) -> None:
    wide = cover(Form("table"), np.zeros(100, np.float32), 64)
    assert wide is not None and wide.columns == 64 and wide.masks.sum() == 100 and wide.names[0] == "0 1"
    sound = cover(Form("wave"), np.zeros((1, 320), np.float32), 64)
    assert sound is not None and (sound.rows, sound.columns, sound.names) == (1, 32, ())
    assert sound.masks[3, 0, 30:40].all() and sound.masks[3].sum() == 10


def test_flat_maps_are_like_nothing(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((2, 1, 16, 16)).astype(np.float32)
    blind = linear_model(tmp_path / "blind.onnx", np.zeros((256, 2)), (1, 16, 16))
    found = seen((one_patch(tmp_path / "a.onnx", 0, 0), blind), Form("image"), x, parts=16)
    assert found.similarity is None and found.looks[0].similarity is None and set(found.looks[0].after) == {0.0}
    assert (found.looks[0].rows, found.looks[0].columns) == (4, 4)


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=2, max_size=30))
def test_the_rank_correlation_is_the_usual_one(pairs: list[tuple[int, int]]) -> None:
    one, other = (np.array(column, np.float64) for column in zip(*pairs, strict=True))
    found = spearman(one, other)
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        assert found is None
    else:
        assert found == pytest.approx(stats.spearmanr(one, other).statistic, abs=1e-9)


def test_half_of_the_samples_are_those_that_were_lost() -> None:
    y = np.zeros(40, int)
    samples = samples_of(np.zeros((40, 2), np.float32), y=y)
    after = np.where(np.isin(np.arange(40), (3, 7, 11, 20)), 1, 0)
    sure = np.linspace(0, 1, 40)
    chosen = interesting(Answers(y), Answers(after, confidence=sure), samples, 6, seed=0)
    assert chosen[:3] == [20, 11, 7] and len(set(chosen)) == 6 and 3 not in chosen
    assert chosen == interesting(Answers(y), Answers(after, confidence=sure), samples, 6, seed=0)
    assert len(interesting(Answers(y), Answers(y), samples, 6, seed=0)) == 6
    few = samples_of(np.zeros((2, 2), np.float32), y=y[:2])
    assert interesting(Answers(y[:2]), Answers(after[:2]), few, 6, seed=0) == [0, 1]
    costs = [Answers(costs=np.array(each)) for each in ([0.0, 0.0, 0.0], [0.1, 0.0, 0.9])]
    assert interesting(*costs, samples_of(np.zeros((3, 2))), 4, seed=0)[:2] == [2, 0]
    assert len(interesting(Answers(), Answers(), samples, 6, seed=0)) == 6, "nobody knows what was lost"
