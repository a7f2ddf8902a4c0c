"""One sample as a reader sees it: what was done to it for the model is undone, and it is made small."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.data import tabular
from engine.data.addresses import thumbnail
from engine.findings.form import Form
from engine.findings.words import written
from pith.dataset import AudioPreprocessing
from pith.findings.shown import Shown, ShownImage, ShownNumbers, ShownRow, ShownSound, ShownText

Array = NDArray[Any]
_SPANS, _TEXT, _COLUMNS = 200, 1000, 50


def shown(form: Form, values: Array) -> Shown:
    """``values`` is the sample itself: one row of the input that ``form.place`` names."""
    if form.kind == "image":
        return _image(_between(values, form.low, form.high))
    if form.kind == "spectrogram":
        return _image(upright(_between(values, values.min(), values.max())))
    if form.kind == "wave":
        return _sound(form, values.reshape(-1))
    if form.kind == "text":
        return ShownText(text=written(form, values)[:_TEXT])
    if form.kind == "table":
        return ShownRow(values=tuple(_row(form, values))[:_COLUMNS])
    numbers = values.astype(np.float64)
    figures = (float(numbers.min()), float(numbers.max()), float(numbers.mean()))
    return ShownNumbers(shape=values.shape, minimum=figures[0], maximum=figures[1], mean=figures[2])


def upright(spectrogram: Array) -> Array:
    """Low pitches at the bottom, where people look for them."""
    return spectrogram[..., ::-1, :]


def _between(values: Array, low: Array | float, high: Array | float) -> Array:
    """0 to 1 between these ends; grey where there is nothing between them."""
    span = np.asarray(high, np.float64) - low
    scaled = np.where(span > 0, (values - low) / np.where(span > 0, span, 1), 0.5)
    return np.clip(scaled, 0, 1)


def _image(values: Array) -> ShownImage:
    """(height, width), or with 1 or 3 channels in front."""
    pixels = np.rint(values * 255).astype(np.uint8).reshape(-1, *values.shape[-2:])
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    address = thumbnail(image)
    return ShownImage(address=address, width=image.width, height=image.height)


def _sound(form: Form, wave: Array) -> ShownSound:
    how = form.fitted.preprocessing if form.fitted is not None else None
    seconds = len(wave) / how.sample_rate if isinstance(how, AudioPreprocessing) else None
    spans = np.array_split(wave.astype(np.float64), min(_SPANS, len(wave)))
    return ShownSound(
        seconds=seconds,
        low=tuple(round(float(span.min()), 4) for span in spans),
        high=tuple(round(float(span.max()), 4) for span in spans),
    )


def _row(form: Form, values: Array) -> list[tuple[str, float | str | None]]:
    if form.columns:
        return tabular.undone(values, form.columns)
    return [(str(index), float(f"{value:.6g}")) for index, value in enumerate(values.tolist())]
