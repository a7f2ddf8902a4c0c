"""What samples are to a reader, as far as preprocessing, task and shape tell: pictures, sounds, texts, tables.

Not covered: models that take two of these at once; then it is the first one that counts.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from engine.data import Dataset, TokenIds
from engine.measure import Samples
from pith.dataset import AudioPreprocessing, CategoricalColumn, FittedPreprocessing, ImagePreprocessing, NumericColumn
from pith.task import Task

Array = NDArray[Any]
Kind = Literal["image", "wave", "spectrogram", "text", "table", "numbers", "codes"]

LOOKED_AT = 256


@dataclass(frozen=True)
class Form:
    """``kind`` codes are integers that nobody has explained, numbers any others. ``place`` is the input that is meant.

    ``low`` and ``high`` are the ends of what a picture's channels may hold, (channels, 1, 1) or one number for all.
    """

    kind: Kind
    place: int = 0
    low: Array | float = 0.0
    high: Array | float = 1.0
    fitted: FittedPreprocessing | None = None
    tokenizer: Tokenizer | None = None
    tokens: TokenIds | None = None

    @property
    def columns(self) -> tuple[NumericColumn | CategoricalColumn, ...]:
        """Of a table whose columns have names."""
        return self.fitted.table if self.fitted is not None else ()


def form_of(samples: Samples, dataset: Dataset | None) -> Form:
    """What the samples that quality was measured on are."""
    fitted = dataset.fitted if dataset is not None else None
    if dataset is None or fitted is None:
        return _by_shape(samples, dataset.task if dataset is not None else None)
    how, tokens = fitted.facts.preprocessing, dataset.tokens
    if isinstance(how, ImagePreprocessing):
        return Form("image", 0, *_ends(how), fitted.facts)
    if isinstance(how, AudioPreprocessing):
        return Form("wave" if how.features == "waveform" else "spectrogram", fitted=fitted.facts)
    if tokens is not None:
        return Form("text", tokens.place, fitted=fitted.facts, tokenizer=fitted.tokenizer, tokens=tokens)
    return Form("table", fitted=fitted.facts)


def _ends(how: ImagePreprocessing) -> tuple[Array, Array]:
    """Black and white, once normalized."""
    mean = np.broadcast_to(how.mean or (0.0,), how.channels).reshape(-1, 1, 1)
    std = np.broadcast_to(how.std or (1.0,), how.channels).reshape(-1, 1, 1)
    return (0 - mean) / std, (1 - mean) / std


def _by_shape(samples: Samples, task: Task | None) -> Form:
    """For arrays that came as the model takes them: by the first input of fractions."""
    place = next((place for place, dtype in enumerate(samples.dtypes) if dtype.kind == "f"), None)
    if place is None:
        return Form("codes")
    kind = _kind(samples.split.x[place].shape[1:], task)
    if kind != "image":
        return Form(kind, place)
    some = samples.split.x[place][:LOOKED_AT]
    return Form(kind, place, float(some.min()), float(some.max()))


def _kind(shape: tuple[int, ...], task: Task | None) -> Kind:
    sizes = shape[1:] if len(shape) > 1 and shape[0] == 1 else shape
    if task == "audio-classification":
        return "wave" if len(sizes) == 1 else "spectrogram" if len(sizes) == 2 else "numbers"
    if len(shape) == 1:
        return "table"
    channels = len(shape) == 3 and shape[0] in (1, 3)
    flat = len(shape) == 2 and task == "image-classification"
    return "image" if (channels or flat) and min(shape[-2:]) > 1 else "numbers"
