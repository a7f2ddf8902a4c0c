"""Parquet, Arrow and CSV files, one or several of the same table, read a batch at a time through pyarrow.

Not covered: encrypted Parquet, Feather of the first version, dates (ignored, and said so).
"""

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from engine.data import limits
from engine.data.arrow_types import plain, supported
from engine.data.hugging_face import class_names
from engine.data.json_lines import read_json_lines
from engine.data.refusals import mismatch, shown, too_large, unreadable
from engine.data.source import SPLITS, Part, Source
from pith.dataset import DatasetFormat, SplitName

_SAMPLE = 1 << 16
_DELIMITERS = ",\t;|"
_STRING_LIMIT, _CONTAINER_LIMIT = 64 << 20, 1 << 20


class Table(NamedTuple):
    """One file; ``kind`` is parquet, arrow, arrow_stream, csv or json_lines."""

    path: Path
    name: str
    kind: str
    split: SplitName | None = None


def read(tables: list[Table], form: DatasetFormat) -> Source:
    """The rows of all files, those of the training split first, in columns that any of them has."""
    source = Source(form, iter(()))
    source.parts = _parts(sorted(tables, key=lambda table: SPLITS.index(table.split or "train")), source)
    return source


def _parts(tables: list[Table], source: Source) -> Iterator[Part]:
    schemas = {}
    for table in tables:
        with _reading(table):
            schemas[table.path] = _columns(table, source)
    columns = dict.fromkeys(name for names in schemas.values() for name in names)
    if len(columns) > limits.COLUMNS:
        raise too_large("The number of columns", len(columns), limits.COLUMNS)
    kinds: dict[str, pa.DataType] = {}
    for table in tables:
        with _reading(table):
            for batch in _batches(table, list(schemas[table.path]), source):
                yield Part(table.split, _aligned(table, batch, list(columns), kinds, source))


def _aligned(
    table: Table,
    batch: pa.RecordBatch,
    columns: list[str],
    kinds: dict[str, pa.DataType],
    source: Source,
) -> pa.RecordBatch:
    """All columns, each in the one type that it has in the whole dataset."""
    found = []
    for name in columns:
        index = batch.schema.get_field_index(name)
        array = plain(name, batch.column(index), source) if index >= 0 else None
        if array is None:
            array = pa.nulls(batch.num_rows, kinds.get(name, pa.string()))
        kind = kinds.setdefault(name, array.type)
        if array.type != kind:
            if array.null_count != len(array) and {array.type, kind} != {pa.int64(), pa.float64()}:
                raise mismatch(
                    f"column {name!r}", f"is {kind} first and {array.type} in {table.name}", "give it one type"
                )
            array = pa.nulls(len(array), kind) if array.null_count == len(array) else array.cast(kind, safe=False)
        found.append(array)
    return pa.record_batch(found, schema=pa.schema([pa.field(name, kinds[name]) for name in columns]))


class _reading:
    """Turns what pyarrow raises about a file into an error of the table."""

    def __init__(self, table: Table) -> None:
        self.name = table.name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pa.ArrowMemoryError):
            raise too_large(f"The memory that {self.name} unpacks to", "more than there is", "what this worker has")
        if isinstance(error, pa.ArrowException | OSError | UnicodeDecodeError | csv.Error):
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise unreadable(f"{self.name}: {said}") from error


def _columns(table: Table, source: Source) -> tuple[str, ...]:
    """The names of the columns that can be kept, without reading any row."""
    if table.kind == "csv":
        return _header(table)[0]
    if table.kind == "json_lines":
        return tuple(
            name for batch in islice(read_json_lines(table.path, table.name), 1) for name in batch.schema.names
        )
    if table.kind == "parquet":
        with _parquet(table) as file:
            schema = file.schema_arrow
            if file.metadata.num_rows > limits.ROWS:
                raise too_large("The number of samples", file.metadata.num_rows, limits.ROWS)
    else:
        with pa.memory_map(str(table.path)) as mapped, _ipc(table, mapped) as reader:
            schema = reader.schema
    return _kept(table, schema, source)


def _kept(table: Table, schema: pa.Schema, source: Source) -> tuple[str, ...]:
    if len(set(schema.names)) < len(schema.names):
        raise unreadable(f"{table.name} has two columns with one name")
    if len(schema.names) > limits.COLUMNS:
        raise too_large("The number of columns", len(schema.names), limits.COLUMNS)
    source.classes.update(class_names(schema))
    for field in schema:
        if isinstance(field.type, pa.BaseExtensionType) or b"ARROW:extension:name" in (field.metadata or {}):
            raise mismatch(
                f"column {field.name!r}",
                "has an extension type, and such types may run code",
                "store it as plain numbers, lists, text or bytes",
            )
        if not supported(field.type):
            source.note(f"column {field.name!r} is left out: it is {field.type}.")
    return tuple(field.name for field in schema if supported(field.type))


def _batches(table: Table, columns: list[str], source: Source) -> Iterable[pa.RecordBatch]:
    if table.kind == "csv":
        return _csv_batches(table)
    if table.kind == "json_lines":
        return read_json_lines(table.path, table.name)
    if table.kind == "parquet":
        return _parquet_batches(table, columns)
    return _ipc_batches(table, columns)


# ---- Parquet and Arrow


def _parquet(table: Table) -> pa.parquet.ParquetFile:
    return pa.parquet.ParquetFile(
        table.path,
        memory_map=True,
        thrift_string_size_limit=_STRING_LIMIT,
        thrift_container_size_limit=_CONTAINER_LIMIT,
        arrow_extensions_enabled=False,
    )


def _parquet_batches(table: Table, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with _parquet(table) as file:
        roots = {field.name: field.type for field in file.schema_arrow}
        leaves = columns if all(not pa.types.is_nested(roots[name]) for name in columns) else None
        for batch in file.iter_batches(limits.BATCH_ROWS // 4, columns=leaves, use_threads=False):
            picked = batch.select(columns)
            picked.validate(full=True)  # texts may be no UTF-8
            yield picked


def _ipc(table: Table, mapped: pa.MemoryMappedFile) -> "pa.RecordBatchFileReader | pa.RecordBatchStreamReader":
    options = pa.ipc.IpcReadOptions(use_threads=False)
    opener = pa.ipc.open_stream if table.kind == "arrow_stream" else pa.ipc.open_file
    return opener(mapped, options=options)


def _ipc_batches(table: Table, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Offsets inside a foreign file may point anywhere: each batch is validated before anything looks at it."""
    with pa.memory_map(str(table.path)) as mapped, _ipc(table, mapped) as reader:
        if table.kind == "arrow_stream":
            batches = iter(reader)
        else:
            batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
        for batch in batches:
            batch.validate(full=True)
            for start in range(0, batch.num_rows, limits.BATCH_ROWS):
                yield batch.select(columns).slice(start, limits.BATCH_ROWS)


# ---- CSV


def _csv_batches(table: Table) -> Iterator[pa.RecordBatch]:
    names, delimiter = _header(table)
    reader = pa.csv.open_csv(
        table.path,
        read_options=pa.csv.ReadOptions(use_threads=False, block_size=4 << 20),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(default_column_type=pa.string(), strings_can_be_null=False),
    )
    with reader:
        for batch in reader:
            if tuple(batch.schema.names) != names:
                raise unreadable(f"the header of {table.name} can be read in two ways")
            yield batch


def _header(table: Table) -> tuple[tuple[str, ...], str]:
    """The names in the first line and the delimiter.

    Raises:
        PithError: ``dataset_unreadable`` or ``dataset_mismatch`` for a file without a header.
    """
    with table.path.open("rb") as file:
        start = file.read(_SAMPLE)
    if b"\n" not in start.replace(b"\r", b"\n") and len(start) == _SAMPLE:
        raise unreadable(f"the first line of {table.name} is longer than {_SAMPLE} bytes")
    text = start.decode("utf-8-sig", errors="ignore" if len(start) == _SAMPLE else "strict")
    delimiter = _delimiter(text)
    names = tuple(next(iter(csv.reader(io.StringIO(text), delimiter=delimiter)), ()))
    _check_header(table, names)
    return names, delimiter


def _check_header(table: Table, names: tuple[str, ...]) -> None:
    if not names or len(names) > limits.COLUMNS:
        raise too_large("The number of columns", len(names), limits.COLUMNS)
    numbered = names == tuple(str(index) for index in range(len(names)))
    if not numbered and any(_is_number(name) for name in names):
        raise mismatch(
            table.name, f"starts with data ({shown(', '.join(names))})", "add a first line with the columns' names"
        )
    if len(set(names)) < len(names) or "" in (name.strip() for name in names[1:]):
        raise mismatch(table.name, f"has the header {shown(', '.join(names))}", "give each column a name of its own")


def _delimiter(text: str) -> str:
    """The one that cuts the first lines into the most columns, each line into as many."""
    whole = text[: text.rfind("\n") + 1] or text
    counts = {}
    for delimiter in _DELIMITERS:
        lines = [row for row, _ in zip(csv.reader(io.StringIO(whole), delimiter=delimiter), range(50), strict=False)]
        widths = {len(row) for row in lines if row}
        counts[delimiter] = widths.pop() if len(widths) == 1 else 0
    best = max(counts, key=lambda delimiter: counts[delimiter])
    return best if counts[best] > 1 else ","


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip().lower() not in ("nan", "inf", "infinity")
