"""Rows of bytes and texts, put into batches of bounded size as they come."""

from collections.abc import Iterator

import pyarrow as pa

from engine.archives import Entry
from engine.data import limits, pictures, sounds
from engine.data.formats import is_pickle
from engine.data.refusals import bad_sample, shown_text, too_large
from pith.errors import PithError

Value = bytes | str | None
Row = dict[str, Value]


def data_of(entry: Entry) -> bytes:
    """The whole of one member.

    Raises:
        PithError: ``dataset_too_large``.
    """
    if entry.size > limits.SAMPLE_BYTES:
        raise too_large(f"The size of {shown_text(entry.name, 80)}", entry.size, limits.SAMPLE_BYTES)
    return b"".join(entry.chunks)


def media_kind(data: bytes, index: int, name: str) -> str:
    """``image`` or ``audio``.

    Raises:
        PithError: ``dataset_sample_unreadable``, or ``dataset_pickled``.
    """
    if pictures.picture_format(data[:16]):
        return "image"
    if sounds.is_sound(data[:12]):
        return "audio"
    if is_pickle(data[:64]):
        raise PithError("dataset_pickled", name=shown_text(name, 120))
    raise bad_sample(index, name, "is neither a picture (PNG, JPEG, WebP, BMP, GIF) nor a sound (WAV, FLAC, Ogg, MP3)")


def batches(rows: Iterator[Row]) -> Iterator[pa.RecordBatch]:
    """The rows, all with the keys of the first one; bytes become binary columns and everything else text."""
    waiting: list[Row] = []
    size = 0
    for row in rows:
        waiting.append(row)
        size += sum(len(value) for value in row.values() if value)
        if len(waiting) >= limits.BATCH_ROWS or size > limits.BATCH_BYTES:
            yield _batch(waiting)
            waiting, size = [], 0
    if waiting:
        yield _batch(waiting)


def _batch(rows: list[Row]) -> pa.RecordBatch:
    media = {"image", "audio"}
    return pa.record_batch(
        {
            name: pa.array([row.get(name) for row in rows], pa.binary() if name in media else pa.string())
            for name in rows[0]
        }
    )
