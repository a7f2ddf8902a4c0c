"""What a reader is shown: the sample as it was before it was made ready for the model."""

import base64
import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.data import Dataset, Pictures, TokenIds, tabular
from engine.data.split import Fitted
from engine.findings.form import Form, form_of
from engine.findings.shown import shown
from engine.findings.words import named, words
from pith.dataset import (
    AudioPreprocessing,
    FittedPreprocessing,
    ImagePreprocessing,
    NumericColumn,
    TabularPreprocessing,
    TextPreprocessing,
)
from pith.findings.shown import ShownImage, ShownNumbers, ShownRow, ShownSound, ShownText
from pith.task import Task
from tests.engine.findings.made import COLUMNS, pictured, samples_of, table_facts, tabled, tokenizer, worded


def pixels(image: ShownImage) -> np.ndarray:
    data = base64.b64decode(image.address.removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.size == (image.width, image.height)
        return np.asarray(opened)


def test_a_picture_is_undone_of_its_normalization() -> None:
    original = np.random.default_rng(0).integers(0, 256, (1, 3, 12, 10), dtype=np.uint8)
    form = pictured()
    mean, std = (np.array(each).reshape(3, 1, 1) for each in ((0.5, 0.4, 0.3), (0.1, 0.2, 0.3)))
    seen = shown(form, Pictures(original, mean, std)[0:1][0])
    assert isinstance(seen, ShownImage) and (seen.width, seen.height) == (10, 12)
    assert (pixels(seen) == original[0].transpose(1, 2, 0)).all()


def test_a_large_picture_is_made_small_and_a_loud_one_fits() -> None:
    noise = np.random.default_rng(0).random((3, 300, 200), dtype=np.float32)
    seen = shown(Form("image"), noise)
    assert isinstance(seen, ShownImage) and (seen.width, seen.height) == (64, 96)
    whole = shown(Form("image"), noise[:, :96, :96])
    assert isinstance(whole, ShownImage) and len(whole.address) < 60_000


def test_grey_pictures_with_and_without_a_channel() -> None:
    values = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)
    form = Form("image", low=-1.0, high=1.0)
    for given_values in (values, values[None]):
        seen = shown(form, given_values)
        assert isinstance(seen, ShownImage)
        assert pixels(seen)[0, 0] == 0 and pixels(seen)[3, 3] == 255 and pixels(seen).shape == (4, 4)


def test_a_flat_spectrogram_is_grey_and_low_pitches_are_at_the_bottom() -> None:
    flat = shown(Form("spectrogram"), np.zeros((1, 5, 7), np.float32))
    assert isinstance(flat, ShownImage) and (pixels(flat) == 128).all()
    bands = np.repeat(np.arange(5, dtype=np.float32)[:, None], 7, axis=1)
    seen = shown(Form("spectrogram"), bands)
    assert isinstance(seen, ShownImage) and pixels(seen)[0, 0] == 255 and pixels(seen)[-1, 0] == 0


def test_a_sound_is_its_highest_and_lowest() -> None:
    facts = FittedPreprocessing(
        preprocessing=AudioPreprocessing(sample_rate=1000, features="waveform"), inputs=("x",), input_shape=(1000,)
    )
    wave = np.sin(np.arange(1000) / 5).astype(np.float32)
    seen = shown(Form("wave", fitted=facts), wave[None])
    assert isinstance(seen, ShownSound) and seen.seconds == 1.0 and len(seen.low) == 200
    assert seen.low[3] == pytest.approx(wave[15:20].min(), abs=1e-4) and max(seen.high) > 0.99
    short = shown(Form("wave"), wave[:7])
    assert isinstance(short, ShownSound) and short.seconds is None and len(short.high) == 7


def test_ids_are_words_again() -> None:
    seen = shown(worded(), np.array([2, 6, 5, 1, 3, 2, 0, 0]))
    assert isinstance(seen, ShownText) and seen.text == "the film [UNK] good"
    long = shown(worded(), np.full(4000, 5))
    assert isinstance(long, ShownText) and len(long.text) == 1000


@pytest.mark.parametrize(
    ("vocabulary", "groups", "names"),
    [
        (("[PAD]", "[UNK]", "[SEP]", "un", "##kind", "film"), [[1, 2], [3]], ["un ##kind", "film"]),
        (("[PAD]", "[UNK]", "[SEP]", "▁un", "kind", "▁film"), [[1, 2], [3]], ["▁un kind", "▁film"]),
        (("[PAD]", "[UNK]", "[SEP]", "un", "kind", "film"), [[1], [2], [3]], ["un", "kind", "film"]),
    ],
)
def test_pieces_of_a_word_stay_together(vocabulary: tuple[str, ...], groups: list[list[int]], names: list[str]) -> None:
    form = Form("text", tokenizer=tokenizer(vocabulary), tokens=TokenIds(0, 1, (0, 2)))
    ids = np.array([2, 3, 4, 5, 2, 0])
    assert words(form, ids) == groups
    assert [named(form, ids, places) for places in groups] == names


def test_a_row_has_its_own_units_again() -> None:
    seen = shown(tabled(), np.array([1.5, 0.0, 1.0, 0.0, 1.0, 0.0], np.float32))
    assert isinstance(seen, ShownRow) and seen.values == (("age", 55.0), ("income", None), ("town", "York"))
    plain = shown(Form("table"), np.arange(70, dtype=np.float32))
    assert isinstance(plain, ShownRow) and len(plain.values) == 50 and plain.values[2] == ("2", 2.0)


TOWNS = st.sampled_from(["Bath", "York", None])
ROWS = st.lists(st.tuples(st.floats(-90, 90), st.none() | st.floats(-900, 900), TOWNS), min_size=1, max_size=8)


@given(ROWS)
def test_a_table_comes_back_from_what_the_model_takes(rows: list[tuple[float, float | None, str | None]]) -> None:
    table = pa.record_batch(
        {
            "age": pa.array([row[0] for row in rows], pa.float64()),
            "income": pa.array([row[1] for row in rows], pa.float64()),
            "town": pa.array([row[2] for row in rows], pa.string()),
        }
    )
    for row, made in zip(rows, tabular.transform(table, COLUMNS), strict=True):
        for value, (_, back) in zip(row, tabular.undone(made, COLUMNS), strict=True):
            assert back == (pytest.approx(value, rel=1e-4, abs=1e-3) if isinstance(value, float) else value)


def test_digits_that_were_lost_are_not_shown() -> None:
    columns = (NumericColumn(name="gain", mean=1079.07, std=7452.0), NumericColumn(name="tiny"))
    gone = np.array([-1079.07 / 7452.0, 1.2e-7], np.float32)
    assert tabular.undone(gone, columns) == [("gain", 0.0), ("tiny", pytest.approx(1.2e-7))]
    assert tabular.undone(np.zeros(2, np.float32), columns) == [("gain", 1079.07), ("tiny", 0.0)]


def test_what_is_none_of_these_is_figures() -> None:
    seen = shown(Form("codes"), np.array([[1, 5], [6, 0]]))
    assert seen == ShownNumbers(shape=(2, 2), minimum=0, maximum=6, mean=3)


@pytest.mark.parametrize(
    ("shape", "task", "kind"),
    [
        ((1, 8, 8), None, "image"),
        ((3, 8, 6), "image-classification", "image"),
        ((8, 8), "image-classification", "image"),
        ((8, 8), None, "numbers"),
        ((7, 8, 8), None, "numbers"),
        ((5,), None, "table"),
        ((5,), "tabular-regression", "table"),
        ((400,), "audio-classification", "wave"),
        ((1, 400), "audio-classification", "wave"),
        ((1, 40, 30), "audio-classification", "spectrogram"),
        ((3, 40, 30), "audio-classification", "numbers"),
        ((), None, "numbers"),
    ],
)
def test_arrays_are_told_by_task_and_shape(shape: tuple[int, ...], task: Task | None, kind: str) -> None:
    x = np.ones((4, *shape), np.float32)
    samples = samples_of(np.ones((4, 3), np.int64), x, task=task)
    form = form_of(samples, Dataset(samples.split, None, task))
    assert (form.kind, form.place) == (kind, 1), "the first input of fractions is the one"
    assert form_of(samples_of(np.ones((4, 3), np.int64)), None).kind == "codes"


def test_the_range_of_pictures_that_nobody_described_is_theirs() -> None:
    samples = samples_of(np.linspace(-2, 6, 2 * 64, dtype=np.float32).reshape(2, 1, 8, 8))
    form = form_of(samples, None)
    assert (form.low, form.high) == (-2, 6)


def test_preprocessing_tells_what_samples_are() -> None:
    x = np.zeros((2, 6), np.float32)
    sound, mel = AudioPreprocessing(features="waveform"), AudioPreprocessing(features="mel")
    for how, kind in (
        (ImagePreprocessing(mean=(0.5,), std=(0.25,), channels=1), "image"),
        (sound, "wave"),
        (mel, "spectrogram"),
        (TabularPreprocessing(), "table"),
    ):
        facts = FittedPreprocessing(preprocessing=how, inputs=("x",), input_shape=(6,))
        form = form_of(samples_of(x), Dataset(None, None, fitted=Fitted(facts)))
        assert form.kind == kind
        if kind == "image":
            assert np.ravel(form.low).tolist() == [-2.0] and np.ravel(form.high).tolist() == [2.0]
    facts = FittedPreprocessing(preprocessing=TextPreprocessing(), inputs=("x",), input_shape=(6,))
    text = Dataset(None, None, fitted=Fitted(facts, tokenizer()), tokens=TokenIds(1, 1, (0,)))
    assert form_of(samples_of(x), text).kind == "text" and form_of(samples_of(x), text).place == 1
    named_columns = form_of(samples_of(x), Dataset(None, None, fitted=Fitted(table_facts())))
    assert [column.name for column in named_columns.columns] == ["age", "income", "town"]
