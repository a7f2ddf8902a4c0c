"""JSON Lines: one object a line. Values are texts, numbers, booleans, null, or lists of numbers of one shape.

pyarrow's own reader fixes types by the first block and then fails on the rest, so lines are parsed here, one by one.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from engine.data import limits
from engine.data.refusals import mismatch, shown, too_large, unreadable

_FIRST = 1000
Row = dict[str, Any]


def read_json_lines(path: Path, name: str) -> Iterator[pa.RecordBatch]:
    """Batches whose columns are those of the first thousand lines.

    Raises:
        PithError: ``dataset_unreadable``, ``dataset_too_large`` or ``dataset_mismatch``.
    """
    columns: dict[str, None] | None = None
    for first, rows in _grouped(_rows(path, name)):
        if columns is None:
            columns = dict.fromkeys(key for row in rows[:_FIRST] for key in row)
            if odd := next((key for key in columns if not key.isprintable()), None):
                raise mismatch(name, f"has the key {shown(odd)}", "use printable keys")
            if not columns or len(columns) > limits.COLUMNS:
                raise too_large("The number of columns", len(columns), limits.COLUMNS)
        for index, row in enumerate(rows):
            if late := row.keys() - columns.keys():
                raise mismatch(
                    f"line {first + index + 1} of {name}",
                    f"has the key {shown(min(late))}, which the first {_FIRST} lines have not",
                    "give early lines that key too (null will do), or leave it out",
                )
        yield pa.record_batch({key: _column(key, [row.get(key) for row in rows]) for key in columns})


def _grouped(rows: Iterator[tuple[Row, int]]) -> Iterator[tuple[int, list[Row]]]:
    found: list[Row] = []
    first = size = 0
    for row, length in rows:
        found.append(row)
        size += length
        if len(found) >= limits.BATCH_ROWS or size > limits.BATCH_BYTES:
            yield first, found
            first, size, found = first + len(found), 0, []
    if found:
        yield first, found


def _rows(path: Path, name: str) -> Iterator[tuple[Row, int]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(limits.LINE_BYTES + 1):
            number += 1
            if len(line) > limits.LINE_BYTES:
                raise too_large(
                    f"The length of line {number} of {name}", f"over {limits.LINE_BYTES}", limits.LINE_BYTES
                )
            if line.strip():
                yield _parsed(line, number, name), len(line)


def _parsed(line: bytes, number: int, name: str) -> Row:
    try:
        row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except (ValueError, RecursionError) as error:
        raise unreadable(f"line {number} of {name} is no JSON: {_fault(error)}") from None
    if not isinstance(row, dict):
        raise unreadable(f"line {number} of {name} is no JSON object but {shown(row)}")
    return row


def _fault(error: ValueError | RecursionError) -> str:
    """What is wrong within the line; the column counts from 1."""
    if isinstance(error, RecursionError):
        return "it nests too deep"
    if isinstance(error, UnicodeDecodeError):
        return f"its byte {error.start + 1} is not UTF-8"
    if not isinstance(error, json.JSONDecodeError):
        return str(error)[:100]
    if error.pos >= len(error.doc.rstrip()):
        return "it ends before its object does, and each object stands on one line"
    return f"{error.msg.removesuffix(' at').lower()} at column {error.pos + 1}"


def _column(key: str, values: list[Any]) -> pa.Array:
    """Scalars as text, so that one rule finds the types of CSV and JSON alike; lists as numbers."""
    if any(isinstance(value, list) for value in values):
        return _tensor(key, values)
    for value in values:
        if isinstance(value, dict):
            raise mismatch(
                f"key {key!r}", f"holds objects such as {shown(value)}", "flatten them into keys of the line"
            )
    return pa.array([as_text(value) for value in values], pa.string())


def as_text(value: Any) -> str | None:
    """A scalar as the text that a table would have for it."""
    if value is None or isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if value else value
    if isinstance(value, bool):
        return str(int(value))
    return repr(value)


def _tensor(key: str, values: list[Any]) -> pa.Array:
    try:
        array = np.array(values)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "iufb" or len(array) != len(values):
        raise mismatch(f"key {key!r}", "holds lists of different lengths or of other things than numbers", "pad them")
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
    if array.nbytes // max(len(array), 1) > limits.SAMPLE_BYTES:
        raise too_large(f"The size of a value of {key!r}", array.nbytes // len(array), limits.SAMPLE_BYTES)
    return _nested(array)


def _nested(array: "np.ndarray[Any, Any]") -> pa.Array:
    """As lists in lists, so that the shape is found where it is for every table."""
    flat = pa.array(np.ascontiguousarray(array).reshape(-1))
    for size in reversed(array.shape[1:]):
        flat = pa.FixedSizeListArray.from_arrays(flat, size)
    return flat
