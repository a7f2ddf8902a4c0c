"""Labels of an upload as class numbers and class names, or as the numbers that a model is to give."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.data.gather import Gathered
from engine.data.limits import CLASSES, NAME
from engine.data.refusals import mismatch, schema_mismatch, shown, too_large
from engine.data.roles import Roles
from engine.data.source import Source
from engine.data.survey import MISSING
from pith.dataset import DatasetSchema

_EMPTY = pa.array(MISSING)
UNLABELLED = -1

Numbers = np.ndarray[Any, np.dtype[np.int64]]


class Labels(NamedTuple):
    """``values`` has an entry a row: class numbers (int64, -1 without one), float64 (NaN without), or None for tensors.

    ``present`` says which rows have a label.
    """

    values: np.ndarray[Any, Any] | None
    present: np.ndarray[Any, np.dtype[np.bool_]]
    classes: tuple[str, ...] = ()


def read_labels(gathered: Gathered, found: Roles, source: Source, declared: DatasetSchema) -> Labels:
    """
    Raises:
        PithError: ``dataset_mismatch``, ``dataset_schema_mismatch`` or ``dataset_too_large``.
    """
    if found.label is None:
        return Labels(None, np.zeros(gathered.rows, bool))
    column = gathered.column(found.label)
    if found.label_kind == "tensor":
        return Labels(None, ~column.is_null().to_numpy())
    texts = _trimmed(column) if pa.types.is_string(column.type) else None
    if found.label_kind == "numbers":
        values = _floats(found.label, column if texts is None else texts)
        return Labels(values, ~np.isnan(values))
    names = declared.classes or source.classes.get(found.label, ())
    if texts is not None and not _all_whole(texts):
        return _named(found.label, texts, names)
    return _numbered(found.label, column if texts is None else texts, names)


def _trimmed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without spaces around, and null where a mark stands for nothing. Class names such as None stay."""
    trimmed = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _without_marks(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.is_in(column, _EMPTY), pa.scalar(None, pa.string()), column)


def _all_whole(texts: pa.ChunkedArray) -> bool:
    try:
        texts.cast(pa.int64())
    except pa.ArrowInvalid:
        return False
    return bool(len(texts) > texts.null_count)


def _floats(name: str, column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    column = _without_marks(column) if pa.types.is_string(column.type) else column
    values: np.ndarray[Any, Any] = column.cast(pa.float64(), safe=False).fill_null(float("nan")).to_numpy()
    if np.isinf(values).any():
        raise mismatch(f"column {name!r}", "is the target and holds infinity", "remove those rows")
    return values


def _named(name: str, texts: pa.ChunkedArray, declared: tuple[str, ...]) -> Labels:
    present = ~texts.is_null().to_numpy()
    there = [value for value in texts.unique().to_pylist() if value is not None]
    if len(there) > CLASSES:
        raise too_large(f"The number of classes in {name!r}", len(there), CLASSES)
    if long := next((value for value in there if len(value) > NAME), None):
        way_out = f"name another column in label; names of classes have at most {NAME} letters"
        raise mismatch(f"column {name!r}", f"is the label and holds {shown(long)}", way_out)
    classes = declared or tuple(sorted(there, key=_class_order))
    if strange := sorted(set(there) - set(classes)):
        raise schema_mismatch(
            "classes", list(declared)[:10], f"{name!r} holds {shown(strange[0])}", "name every class, or none"
        )
    numbers = pc.index_in(texts, pa.array(classes, pa.string())).fill_null(UNLABELLED).to_numpy()
    return Labels(numbers.astype(np.int64), present, classes)


def _class_order(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isascii() and name.isdigit() and len(name) < 10 else (1 << 40, name)


def _numbered(name: str, column: pa.ChunkedArray, declared: tuple[str, ...]) -> Labels:
    """Class numbers as they are. A -1 stands for no label, as Hugging Face datasets have it in test splits."""
    try:
        values = column.cast(pa.int64()).fill_null(UNLABELLED).to_numpy()
    except pa.ArrowInvalid:
        raise mismatch(f"column {name!r}", "is the label and holds fractions", "number the classes from 0") from None
    low, high = int(values.min()), int(values.max())
    if low < UNLABELLED:
        raise mismatch(f"column {name!r}", f"has labels from {low} to {high}", "number the classes from 0")
    if high >= CLASSES:
        raise too_large(f"The highest class number in {name!r}", high, CLASSES - 1)
    if declared and high >= len(declared):
        raise schema_mismatch(
            "classes", list(declared)[:10], f"{name!r} has the class number {high}", "name every class, or none"
        )
    return Labels(values, values >= 0, declared or tuple(str(number) for number in range(high + 1)))
