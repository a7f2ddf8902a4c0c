"""The rows of an upload, written once in batches of bounded size, so that everything after can look at them again."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from engine.data import limits
from engine.data.refusals import empty, mismatch, shown, too_large
from engine.data.source import Source
from pith.dataset import SplitName


class Gathered(NamedTuple):
    """``rows`` batches lie in ``path``; batch i belongs to ``splits[i]``."""

    path: Path
    schema: pa.Schema
    splits: tuple[SplitName | None, ...]
    rows: int

    def batches(self) -> Iterator[pa.RecordBatch]:
        with pa.memory_map(str(self.path)) as file, pa.ipc.open_file(file) as reader:
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index)

    def column(self, name: str) -> pa.ChunkedArray:
        """A whole column in memory: for labels and names of splits."""
        return pa.chunked_array((batch.column(name) for batch in self.batches()), self.schema.field(name).type)


def gather(source: Source, path: Path, packed: int) -> Gathered:
    """Take every part of the source, which came in ``packed`` bytes: a small file may not unfold without end.

    Raises:
        PithError: whatever the reader raises, ``dataset_too_large``, or ``dataset_empty``.
    """
    splits: list[SplitName | None] = []
    rows = size = 0
    writer: pa.RecordBatchFileWriter | None = None
    try:
        for split, batch in source.parts:
            for piece in pieces(batch):
                if writer is None:
                    _check_names(piece.schema)
                    writer = pa.ipc.new_file(str(path), piece.schema)
                writer.write_batch(piece)
                splits.append(split)
                rows, size = rows + piece.num_rows, size + piece.nbytes
                _at_most("The number of samples", rows, limits.ROWS)
                _at_most("The number of batches of samples", len(splits), limits.PARTS)
                _at_most("The size of all samples", size, limits.TOTAL_BYTES)
                if size > limits.RATIO_FROM:
                    _at_most("The ratio of the samples' size to the file's", size // max(packed, 1), limits.RATIO)
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise empty("it has no rows" if source.format == "table" else "it has no samples")
    with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
        return Gathered(path, reader.schema, tuple(splits), rows)


def pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch in parts of at most so many rows and, where a row is not larger by itself, so many bytes."""
    if not batch.num_rows:
        return
    rows = min(limits.BATCH_ROWS, max(1, limits.BATCH_BYTES * batch.num_rows // max(batch.nbytes, 1)))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _check_names(schema: pa.Schema) -> None:
    """Names of columns are shown to people, in pages and in terminals."""
    for name in schema.names:
        if len(name) > limits.NAME or not name.isprintable():
            raise mismatch(f"column {shown(name)}", "has a name that does not print, or is too long", "rename it")


def _at_most(what: str, value: int, limit: int) -> None:
    if value > limit:
        raise too_large(what, value, limit)
