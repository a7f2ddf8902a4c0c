"""The one form in which datasets are kept: ``dataset.arrow``, an uncompressed Arrow IPC file whose rows stand split
after split (train, validation, test), and ``dataset.json``, the facts that say how many rows each has and what columns.

Types: pictures and sounds are binary (the bytes as they came), texts strings, numbers float64 and categories strings
(null where missing), tensors fixed-size lists, labels int64 or float64 or fixed-size lists.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pydantic import ValidationError

from engine.data.refusals import unreadable
from engine.data.source import SPLITS
from pith.dataset import ColumnFacts, DatasetFacts, SplitName

FACTS_BYTES = 64 << 20
_KINDS = {
    "image": pa.binary(),
    "audio": pa.binary(),
    "text": pa.string(),
    "numeric": pa.float64(),
    "categorical": pa.string(),
}


def column_type(kind: str) -> pa.DataType | None:
    """The Arrow type of an input of this kind; None for tensors, which keep their own."""
    return _KINDS.get(kind)


@dataclass(frozen=True)
class Canonical:
    """An accepted dataset. It is read as an untrusted file all the same: every batch is validated."""

    path: Path
    facts: DatasetFacts

    def inputs(self) -> tuple[ColumnFacts, ...]:
        return tuple(column for column in self.facts.columns if column.role == "input")

    def label(self) -> ColumnFacts | None:
        return next((column for column in self.facts.columns if column.role == "label"), None)

    def samples(self, split: SplitName) -> int:
        return next((one.samples for one in self.facts.splits if one.name == split), 0)

    def labelled(self, split: SplitName) -> bool:
        return any(one.labelled for one in self.facts.splits if one.name == split)

    def batches(self, split: SplitName) -> Iterator[pa.RecordBatch]:
        """The rows of one split.

        Raises:
            PithError: ``dataset_unreadable``.
        """
        order = [one.name for one in sorted(self.facts.splits, key=lambda one: SPLITS.index(one.name))]
        first = sum(self.samples(name) for name in order[: order.index(split)]) if split in order else 0
        yield from self._rows(first, first + self.samples(split))

    def _rows(self, first: int, last: int) -> Iterator[pa.RecordBatch]:
        at = 0
        try:
            with pa.memory_map(str(self.path)) as file, pa.ipc.open_file(file) as reader:
                self._check(reader.schema)
                for index in range(reader.num_record_batches):
                    batch = reader.get_batch(index)
                    begin, end = max(first - at, 0), min(last - at, batch.num_rows)
                    at += batch.num_rows
                    if begin < end:
                        batch.validate(full=True)
                        yield batch.slice(begin, end - begin)
                    if at >= last:
                        break
        except (pa.ArrowException, OSError) as error:
            raise unreadable(f"dataset.arrow: {str(error)[:200]}") from error
        if at < last:
            raise unreadable(f"dataset.arrow has {at} rows, and dataset.json says {last}")

    def _check(self, schema: pa.Schema) -> None:
        for column in self.facts.columns:
            index = schema.get_field_index(column.name)
            wanted = column_type(column.type) if column.role == "input" else None
            if index < 0 or (wanted is not None and schema.field(index).type != wanted):
                raise unreadable(f"dataset.arrow has no column {column.name!r} of {column.type}")


def open_canonical(arrow: Path, facts: Path) -> Canonical:
    """
    Raises:
        PithError: ``dataset_unreadable``.
    """
    try:
        if facts.stat().st_size > FACTS_BYTES:
            raise unreadable(f"dataset.json has more than {FACTS_BYTES} bytes")
        return Canonical(arrow, DatasetFacts.model_validate_json(facts.read_bytes()))
    except (OSError, ValidationError) as error:
        raise unreadable(f"dataset.json: {str(error)[:200]}") from error
