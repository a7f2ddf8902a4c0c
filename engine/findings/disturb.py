"""Disturbances that samples meet in the field, each in a few strengths, as Hendrycks and Dietterich (2019, arXiv
1903.12261) try five; a strength of 0 changes nothing.

Not covered: rotation and other movements, compression of pictures, rooms and echoes, misspelt words.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from engine.data import tabular
from engine.data.sounds import FLOOR
from engine.findings.form import Form, Kind
from engine.findings.words import words
from pith.dataset import NumericColumn
from pith.findings.trust import DisturbanceName

Array = NDArray[Any]


@dataclass(frozen=True)
class Change:
    """``make(form, values, strength, random)`` gives the values of all samples, disturbed."""

    name: DisturbanceName
    strengths: tuple[float, ...]
    unit: str
    make: Callable[[Form, Array, float, Generator], Array]

    @property
    def strength(self) -> float:
        """The middle one, for models that cannot be asked about all."""
        return self.strengths[len(self.strengths) // 2]


def reaches(form: Form, x: Array) -> tuple[Array, Array]:
    """The least and the greatest value that a picture may have in each place; of what is no picture there are none."""
    if form.kind != "image":
        return np.array(-np.inf), np.array(np.inf)
    low, high = (found(axis=(0, -2, -1), keepdims=True)[0] for found in (x.min, x.max))
    return np.minimum(form.low, low), np.maximum(form.high, high)


def spread(form: Form, x: Array) -> Array:
    """What strengths are measured in: the range of a picture's brightness; the standard deviation of a sample; of a
    table that of each column, and 0 for columns that are no numbers."""
    if form.kind == "image":
        return np.asarray(form.high, np.float64) - form.low
    if form.kind == "table":
        return np.where(_numeric(form, x), x.astype(np.float64).std(axis=0), 0.0)[None]
    found: Array = x.astype(np.float64).std(axis=tuple(range(1, x.ndim)), keepdims=True)
    return found


def _numeric(form: Form, x: Array) -> NDArray[np.bool_]:
    """Which numbers of a row are a column's value, and not a mark or a category."""
    found = np.full(x.shape[1], not form.columns)
    for column, place in tabular.places(form.columns):
        found[place.start] = isinstance(column, NumericColumn)
    return found


def _kept(form: Form, x: Array, changed: Array) -> Array:
    """Within what is possible, and of the type that the model takes."""
    return np.clip(changed, *reaches(form, x)).astype(x.dtype)


def _noise(form: Form, x: Array, strength: float, random: Generator) -> Array:
    return _kept(form, x, x + strength * spread(form, x) * random.standard_normal(x.shape))


def _percent_noise(form: Form, x: Array, strength: float, random: Generator) -> Array:
    return _noise(form, x, strength / 100, random)


def _blur(form: Form, x: Array, strength: float, random: Generator) -> Array:
    sigma = strength / 100 * x.shape[-1]
    found = gaussian_filter(x.astype(np.float64), (*(0,) * (x.ndim - 2), sigma, sigma), mode="nearest")
    return _kept(form, x, found)


def _brightness(form: Form, x: Array, strength: float, random: Generator) -> Array:
    return _kept(form, x, x + strength / 100 * spread(form, x))


def _contrast(form: Form, x: Array, strength: float, random: Generator) -> Array:
    middle = x.astype(np.float64).mean(axis=(-2, -1), keepdims=True)
    return _kept(form, x, middle + (1 - strength / 100) * (x - middle))


def _silence(form: Form, x: Array, strength: float, random: Generator) -> Array:
    """A span of time without sound, somewhere in each sample."""
    found, frames = x.copy(), x.shape[-1]
    length = round(frames * strength / 100)
    for row, start in zip(found, random.integers(0, frames - length + 1, len(x)), strict=True):
        row[..., start : start + length] = _quiet(form, row)
    return found


def _quiet(form: Form, row: Array) -> float:
    if form.kind == "wave":
        return 0.0
    return float(np.log(FLOOR)) if form.fitted is not None else float(row.min())


def _missing_words(form: Form, x: Array, strength: float, random: Generator) -> Array:
    """Of each text so many words, at least one, become the token for words that are not known."""
    assert form.tokens is not None
    found = x.copy()
    for row in found:
        there = words(form, row)
        order = random.permutation(len(there))
        for index in order[: int(np.ceil(len(there) * strength / 100))]:
            row[there[index]] = form.tokens.unknown
    return found


def _missing_values(form: Form, x: Array, strength: float, random: Generator) -> Array:
    """As a missing value goes into the model: the mean and its mark, or the place for unknown categories."""
    columns = tuple(tabular.places(form.columns))
    lost = random.random((len(x), len(columns) or x.shape[1])) < strength / 100
    if not columns:
        return np.where(lost, x.mean(axis=0, dtype=np.float64), x).astype(x.dtype)
    found = x.copy()
    for (column, place), rows in zip(columns, lost.T, strict=True):
        found[rows, place] = 0
        if not isinstance(column, NumericColumn) or column.marked:
            found[rows, place.stop - 1] = 1
    return found


_OF_SAMPLE = "standard deviations of the sample"
_OF_COLUMNS = "standard deviations of each column"
_BRIGHTNESS = "% of the range of brightness"

DISTURBANCES: dict[Kind, tuple[Change, ...]] = {
    "image": (
        Change("noise", (2.5, 5, 10), _BRIGHTNESS, _percent_noise),
        Change("blur", (0.75, 1.5, 3), "% of the width", _blur),
        Change("brightness", (10, 20, 40), "% of its range more", _brightness),
        Change("contrast", (25, 50, 75), "% less", _contrast),
    ),
    "wave": (
        Change("noise", (0.15, 0.3, 0.6), _OF_SAMPLE, _noise),
        Change("silence", (10, 20, 40), "% of the duration", _silence),
    ),
    "spectrogram": (
        Change("noise", (0.15, 0.3, 0.6), _OF_SAMPLE, _noise),
        Change("silence", (10, 20, 40), "% of the duration", _silence),
    ),
    "text": (Change("missing words", (10, 20, 40), "% of the words", _missing_words),),
    "table": (
        Change("noise", (0.15, 0.3, 0.6), _OF_COLUMNS, _noise),
        Change("missing values", (10, 20, 40), "% of the values", _missing_values),
    ),
    "numbers": (Change("noise", (0.15, 0.3, 0.6), _OF_SAMPLE, _noise),),
    "codes": (),
}  # fmt: skip

ADVERSARIAL: dict[Kind, tuple[float, str]] = {
    "image": (2, _BRIGHTNESS),
    "wave": (0.1, _OF_SAMPLE),
    "spectrogram": (0.1, _OF_SAMPLE),
    "table": (0.1, _OF_COLUMNS),
    "numbers": (0.1, _OF_SAMPLE),
}
"""How far an attack may move each number; what is made of words and codes has nothing small to move."""


def furthest(form: Form, x: Array, strength: float) -> Array:
    """How far an attack of this strength may move each number of these samples."""
    return spread(form, x) * (strength / 100 if form.kind == "image" else strength)
