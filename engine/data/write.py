"""The rows of an upload, checked one by one and written in the canonical form, split after split."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.data import pictures, sounds
from engine.data.canonical import column_type
from engine.data.gather import Gathered
from engine.data.labels import Labels
from engine.data.limits import TEXT_BYTES
from engine.data.refusals import bad_sample, mismatch
from engine.data.roles import Roles
from engine.data.source import FILE, SPLITS
from engine.data.splits import Codes
from engine.data.survey import MISSING

_MARKS = pa.array(MISSING)
_MANY = 1000


@dataclass
class Media:
    """What pictures and sounds turned out to be: (height, width, channels), samples a second, seconds."""

    pictures: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    rates: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    empty_texts: int = 0

    def picture(self, size: tuple[int, int, int]) -> None:
        if size in self.pictures or len(self.pictures) < _MANY:
            self.pictures[size] += 1


def write(gathered: Gathered, found: Roles, labels: Labels, codes: Codes, schema: pa.Schema, path: Path) -> Media:
    """
    Raises:
        PithError: ``dataset_sample_unreadable`` or ``dataset_mismatch``.
    """
    media = Media()
    with pa.ipc.new_file(str(path), schema) as writer:
        for code in range(len(SPLITS)):
            for rows, batch in _of_split(gathered, codes, code):
                writer.write_batch(_converted(batch, rows, found, labels, schema, media))
    return media


def canonical_schema(gathered: Gathered, found: Roles) -> pa.Schema:
    """The columns of ``dataset.arrow``: the inputs in their order, then the label."""
    fields = [
        pa.field(name, column_type(kind) or gathered.schema.field(name).type) for name, kind in found.inputs.items()
    ]
    if found.label is not None:
        own = gathered.schema.field(found.label).type
        kinds = {"classes": pa.int64(), "numbers": pa.float64(), "tensor": own}
        fields.append(pa.field(found.label, kinds[found.label_kind]))
    return pa.schema(fields)


def _of_split(gathered: Gathered, codes: Codes, code: int) -> Iterator[tuple[np.ndarray[Any, Any], pa.RecordBatch]]:
    """The rows of that split in each batch, with their numbers in the upload."""
    start = 0
    for batch in gathered.batches():
        chosen = np.flatnonzero(codes[start : start + batch.num_rows] == code)
        if len(chosen) == batch.num_rows:
            yield start + chosen, batch
        elif len(chosen):
            yield start + chosen, batch.take(pa.array(chosen))
        start += batch.num_rows


def _converted(
    batch: pa.RecordBatch,
    rows: np.ndarray[Any, Any],
    found: Roles,
    labels: Labels,
    schema: pa.Schema,
    media: Media,
) -> pa.RecordBatch:
    files = batch.column(FILE) if FILE in batch.schema.names else None
    columns = [_input(name, kind, batch.column(name), rows, files, media) for name, kind in found.inputs.items()]
    if found.label is not None:
        if labels.values is None:
            columns.append(batch.column(found.label))
        else:
            columns.append(pa.array(labels.values[rows], mask=~labels.present[rows]))
    return pa.record_batch(columns, schema=schema)


def _input(
    name: str,
    kind: str,
    array: pa.Array,
    rows: np.ndarray[Any, Any],
    files: pa.Array | None,
    media: Media,
) -> pa.Array:
    if kind in ("image", "audio"):
        for place, value in enumerate(array):
            _look(name, kind, value.as_py(), int(rows[place]), files[place].as_py() if files else name, media)
        return array
    if kind == "text":
        return _text(name, array, rows, media)
    if kind == "numeric":
        return _numeric(name, array, rows)
    if kind == "categorical":
        return _categorical(array)
    if array.null_count:
        missing = int(rows[int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])])
        raise bad_sample(missing, name, "has no value")
    return array


def _look(name: str, kind: str, data: bytes | None, row: int, file: str, media: Media) -> None:
    if data is None:
        raise bad_sample(row, name, "has no value")
    try:
        if kind == "image":
            image = pictures.decode(data)
            media.picture((image.height, image.width, len(image.getbands())))
        else:
            wave, rate = sounds.decode(data)
            media.rates[rate] += 1
            media.seconds.append(len(wave) / rate)
    except (pictures.BadPicture, sounds.BadSound) as problem:
        raise bad_sample(row, file, str(problem)) from None


def _text(name: str, array: pa.Array, rows: np.ndarray[Any, Any], media: Media) -> pa.Array:
    array = (array if pa.types.is_string(array.type) else array.cast(pa.string())).fill_null("")
    lengths = pc.binary_length(array).to_numpy(zero_copy_only=False)
    if len(lengths) and lengths.max() > TEXT_BYTES:
        worst = int(lengths.argmax())
        raise bad_sample(int(rows[worst]), name, f"has {lengths[worst]} bytes of text, and {TEXT_BYTES} is the most")
    media.empty_texts += int((lengths == 0).sum())
    return array


def _numeric(name: str, array: pa.Array, rows: np.ndarray[Any, Any]) -> pa.Array:
    if pa.types.is_string(array.type):
        array = _categorical(array)
    values = array.cast(pa.float64(), safe=False)
    values = pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)
    if pc.any(pc.is_inf(values)).as_py():
        first = int(rows[int(np.flatnonzero(pc.is_inf(values).fill_null(False).to_numpy(zero_copy_only=False))[0])])
        raise mismatch(
            f"column {name!r}", f"holds infinity (sample {first})", "replace it by a number or leave it empty"
        )
    return values


def _categorical(array: pa.Array) -> pa.Array:
    """Trimmed, and null where a mark stands for nothing."""
    if not pa.types.is_string(array.type):
        return array.cast(pa.string())
    trimmed = pc.utf8_trim_whitespace(array)
    return pc.if_else(pc.is_in(trimmed, _MARKS), pa.scalar(None, pa.string()), trimmed)
