"""The parts of a sample that are covered one at a time: squares of a picture, spans of a sound, words, columns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.data import tabular
from engine.findings.form import Form
from engine.findings.words import named, words

Array = NDArray[Any]
SIDE = 8
PARTS = SIDE * SIDE
SPANS = 32
_LONGEST = 60


@dataclass(frozen=True)
class Cover:
    """``masks`` is (parts, …), True where a part is; the parts stand in reading order. ``names`` are theirs."""

    rows: int
    columns: int
    masks: NDArray[np.bool_]
    names: tuple[str, ...] = ()

    def covered(self, values: Array, fill: Array) -> Array:
        """The sample once for each part, that part replaced."""
        return np.where(self.masks, fill.astype(values.dtype), values)


def cover(form: Form, values: Array, most: int) -> Cover | None:
    """At most so many parts of this sample; None for one that has none, such as a text without words."""
    if form.kind in ("image", "spectrogram"):
        return _grid(values.shape, min(SIDE, int(most**0.5)), form.kind == "spectrogram")
    groups = _groups(form, values)
    if not groups:
        return None
    spans = [list(span) for span in np.array_split(np.arange(len(groups)), min(most, PARTS, len(groups)))]
    masks = np.zeros((len(spans), *values.shape), np.bool_)
    for mask, span in zip(masks, spans, strict=True):
        mask[..., [place for index in span for place in groups[index][1]]] = True
    names = tuple(" ".join(groups[index][0] for index in span)[:_LONGEST] for span in spans)
    return Cover(1, len(spans), masks, names if any(names) else ())


def typical(form: Form, x: Array) -> Array:
    """What a covered part becomes: of these samples a picture's mean colour, a column's mean, the mean of a sound; the
    token for words that are not known."""
    if form.tokens is not None:
        return np.array(form.tokens.unknown)
    values = x.astype(np.float64)
    if form.kind == "image":
        mean: Array = values.mean(axis=(0, -2, -1), keepdims=True)[0]
        return mean
    return values.mean(axis=0) if form.kind == "table" else np.array(values.mean())


def _grid(shape: tuple[int, ...], side: int, upside_down: bool) -> Cover:
    """Squares, from the top left; the first row of a spectrogram is shown at the bottom."""
    rows, columns = (np.array_split(np.arange(size), min(side, size)) for size in shape[-2:])
    masks = np.zeros((len(rows) * len(columns), *shape), np.bool_)
    for index, mask in enumerate(masks):
        row, column = divmod(index, len(columns))
        mask[..., rows[::-1][row] if upside_down else rows[row], columns[column][:, None]] = True
    return Cover(len(rows), len(columns), masks)


def _groups(form: Form, values: Array) -> list[tuple[str, list[int]]]:
    """The least parts along the last dimension, with their names."""
    if form.kind == "text":
        return [(named(form, values, places), places) for places in words(form, values)]
    if form.columns:
        return [(column.name, [*range(place.start, place.stop)]) for column, place in tabular.places(form.columns)]
    if form.kind == "table":
        return [(str(index), [index]) for index in range(values.shape[-1])]
    return [("", span.tolist()) for span in np.array_split(np.arange(values.shape[-1]), min(SPANS, values.shape[-1]))]
