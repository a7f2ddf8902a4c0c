"""The preprocessing that fits a dataset when nobody has declared one: read off its samples."""

import math

import numpy as np

from engine.data import texts
from engine.data.canonical import Canonical
from engine.data.fit import family, training_rows
from engine.data.limits import SOUND_SECONDS
from engine.data.write import Media
from pith.dataset import (
    AudioPreprocessing,
    ImagePreprocessing,
    Preprocessing,
    TabularPreprocessing,
    TextPreprocessing,
)


def derive(canonical: Canonical, media: Media) -> Preprocessing | None:
    """None for tensors."""
    kind = family(canonical)
    if kind == "image":
        return _image(media)
    if kind == "audio":
        return _audio(media)
    if kind == "text":
        names = tuple(column.name for column in canonical.inputs())
        return TextPreprocessing(tokenizer="words", length=texts.usual_length(training_rows(canonical), names))
    return TabularPreprocessing() if kind == "tabular" else None


def _image(media: Media) -> ImagePreprocessing:
    """The pictures' own size where all have one; grey where all are."""
    sizes = {(height, width) for height, width, _ in media.pictures}
    grey = {channels for _, _, channels in media.pictures} == {1}
    return ImagePreprocessing(size=sizes.pop() if len(sizes) == 1 else None, channels=1 if grey else 3)


def _audio(media: Media) -> AudioPreprocessing:
    """The commonest rate, and a duration that holds 95 % of the sounds; windows of 25 ms every 10 ms."""
    rate = media.rates.most_common(1)[0][0]
    seconds = math.ceil(float(np.percentile(media.seconds, 95)) * 10) / 10
    return AudioPreprocessing(
        sample_rate=rate, seconds=min(seconds, float(SOUND_SECONDS)), window=rate // 40, hop=rate // 100
    )
