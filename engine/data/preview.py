"""A few samples to look at: pictures and sounds as small data: addresses, texts cut, tensors as figures, and drawn
where they have the shape of a picture."""

import base64
import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile
from PIL import Image

from engine.data import pictures, sounds
from engine.data.arrow_types import to_numpy
from engine.data.canonical import Canonical
from engine.data.source import SPLITS
from pith.dataset import ColumnFacts, Preview

SAMPLES = 8
_SIDE, _RATE, _SECONDS, _TEXT, _COLUMNS = 96, 8000, 1.0, 300, 50
_PLANE, _LARGEST = 8, 2048


def preview(canonical: Canonical) -> Preview:
    """Samples of the first split, spread over it evenly and so over its classes."""
    name = next(name for name in SPLITS if canonical.samples(name))
    rows = np.unique(np.linspace(0, canonical.samples(name) - 1, SAMPLES).astype(int))
    columns = canonical.facts.columns[:_COLUMNS]
    if (label := canonical.label()) is not None and label not in columns:
        columns = (*columns, label)
    return Preview(
        splits=canonical.facts.splits,
        samples=tuple(
            {"split": name} | {column.name: _value(batch.column(column.name), column, canonical) for column in columns}
            for batch in _picked(canonical.batches(name), rows)
        ),
    )


def _picked(batches: Iterator[pa.RecordBatch], rows: np.ndarray[Any, Any]) -> Iterator[pa.RecordBatch]:
    start = 0
    for batch in batches:
        for row in rows[(rows >= start) & (rows < start + batch.num_rows)]:
            yield batch.slice(int(row) - start, 1)
        start += batch.num_rows


def _value(array: pa.Array, column: ColumnFacts, canonical: Canonical) -> Any:
    if array.null_count:
        return None
    if column.type == "image":
        return _picture(pictures.decode(array[0].as_py()))
    if column.type == "audio":
        return _sound(array[0].as_py())
    if column.type == "tensor":
        return _figures(to_numpy(array, column.shape or ()))
    value = array[0].as_py()
    if column.role == "label" and isinstance(value, int) and value < len(canonical.facts.classes):
        return canonical.facts.classes[value]
    return value[:_TEXT] if isinstance(value, str) else value


def _picture(image: Image.Image) -> str:
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return _address("image/png", buffer)


def _sound(data: bytes) -> str:
    wave, rate = sounds.decode(data)
    wave = wave[: math.ceil(_SECONDS * rate)]
    wanted = min(rate, _RATE)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(sounds.resampled(wave, rate, wanted), -1, 1), wanted, "PCM_16", format="WAV")
    return _address("audio/wav", buffer)


def _address(media: str, buffer: io.BytesIO) -> str:
    return f"data:{media};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _figures(values: np.ndarray[Any, Any]) -> dict[str, Any]:
    numbers = values.astype(np.float64).reshape(-1)
    return {
        "shape": list(values.shape[1:]),
        "min": float(numbers.min()),
        "max": float(numbers.max()),
        "mean": float(numbers.mean()),
        "first": [float(number) for number in numbers[:8]],
        **({"picture": _drawn(values[0])} if _may_be_a_picture(values[0]) else {}),
    }


def _may_be_a_picture(values: np.ndarray[Any, Any]) -> bool:
    """One grey or three coloured planes, neither a line nor too much to look at."""
    planes, *sides = values.shape if values.ndim == 3 else (0,)
    return planes in (1, 3) and all(_PLANE <= side <= _LARGEST for side in sides) and bool(np.isfinite(values).all())


def _drawn(values: np.ndarray[Any, Any]) -> str:
    """From black, its least value, to white, its greatest."""
    least, most = float(values.min()), float(values.max())
    levels = (values.astype(np.float64) - least) / ((most - least) or 1.0)
    planes = (255 * levels).round().astype(np.uint8)
    return _picture(Image.fromarray(planes[0] if len(planes) == 1 else planes.transpose(1, 2, 0)))
