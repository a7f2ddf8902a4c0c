"""Tables as rows of floats: numbers standardized by the training split, categories one-hot, what is missing marked."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.data.refusals import mismatch
from pith.dataset import CategoricalColumn, ColumnFacts, NumericColumn, TabularPreprocessing

TableColumns = tuple[NumericColumn | CategoricalColumn, ...]
Floats = np.ndarray[Any, np.dtype[np.float32]]


def fit(batches: Iterable[pa.RecordBatch], inputs: tuple[ColumnFacts, ...], how: TabularPreprocessing) -> TableColumns:
    """Means, deviations and categories of these rows, read once.

    Raises:
        PithError: ``dataset_mismatch`` for a column with too many categories.
    """
    sums = {column.name: np.zeros(4) for column in inputs if column.type == "numeric"}
    found: dict[str, set[str]] = {column.name: set() for column in inputs if column.type != "numeric"}
    for batch in batches:
        for name, total in sums.items():
            total += _moments(batch.column(name))
        for name, categories in found.items():
            categories.update(pc.unique(batch.column(name).drop_null()).to_pylist())
            _check(name, categories, how)
    return tuple(
        _numeric(column.name, sums[column.name], how)
        if column.type == "numeric"
        else CategoricalColumn(name=column.name, categories=tuple(sorted(found[column.name])))
        for column in inputs
    )


def width(columns: TableColumns) -> int:
    return sum(_width(one) for one in columns)


def places(columns: TableColumns) -> Iterator[tuple[NumericColumn | CategoricalColumn, slice]]:
    """Each column, and where in a row of ``transform`` it stands."""
    at = 0
    for column in columns:
        yield column, slice(at, at + _width(column))
        at += _width(column)


def undone(row: np.ndarray[Any, Any], columns: TableColumns) -> list[tuple[str, float | str | None]]:
    """The values that ``transform`` was given for this row; None for what was missing, or a category never seen."""
    return [(column.name, _undone(row[place], column)) for column, place in places(columns)]


def transform(batch: pa.RecordBatch, columns: TableColumns) -> Floats:
    """(rows, width)."""
    found = np.zeros((batch.num_rows, width(columns)), np.float32)
    at = 0
    for column in columns:
        array = batch.column(column.name)
        if isinstance(column, NumericColumn):
            at = _put_numeric(found, at, array, column)
        else:
            at = _put_categories(found, at, array, column)
    return found


def _width(column: NumericColumn | CategoricalColumn) -> int:
    return 1 + column.marked if isinstance(column, NumericColumn) else len(column.categories) + 1


def _undone(part: np.ndarray[Any, Any], column: NumericColumn | CategoricalColumn) -> float | str | None:
    if isinstance(column, NumericColumn):
        return None if column.marked and part[1] > 0.5 else _restored(float(part[0]), column)
    place = int(part.argmax())
    return column.categories[place] if place < len(column.categories) else None


def _restored(value: float, column: NumericColumn) -> float:
    """As many digits as 32 bits have kept."""
    shift = value * column.std
    lost = max(abs(shift), abs(column.mean)) * 2**-22
    return round(shift + column.mean, math.floor(-math.log10(lost))) + 0.0 if lost else 0.0


def _check(name: str, categories: set[str], how: TabularPreprocessing) -> None:
    if len(categories) > how.most_categories:
        raise mismatch(
            f"column {name!r}",
            f"has more than {how.most_categories} categories",
            "set its type to ignore in the schema's columns, or raise most_categories",
        )


def _moments(array: pa.Array) -> np.ndarray[Any, Any]:
    """Count, sum, sum of squares, missing."""
    values = array.drop_null().to_numpy(zero_copy_only=False).astype(np.float64)
    return np.array([len(values), values.sum(), (values**2).sum(), array.null_count])


def _numeric(name: str, moments: np.ndarray[Any, Any], how: TabularPreprocessing) -> NumericColumn:
    count, total, squares, missing = moments
    marked = bool(missing)
    if not how.standardize or not count:
        return NumericColumn(name=name, marked=marked)
    mean = total / count
    deviation = float(np.sqrt(max(squares / count - mean**2, 0.0)))
    if not np.isfinite(mean) or not np.isfinite(deviation):
        raise mismatch(f"column {name!r}", "holds numbers too large to standardize", "scale them down")
    constant = deviation <= 1e-9 * max(1.0, abs(mean))
    return NumericColumn(name=name, mean=mean, std=1.0 if constant else deviation, marked=marked)


def _put_numeric(found: Floats, at: int, array: pa.Array, column: NumericColumn) -> int:
    values = array.fill_null(column.mean).to_numpy(zero_copy_only=False)
    found[:, at] = (values - column.mean) / column.std
    if column.marked:
        found[:, at + 1] = array.is_null().to_numpy(zero_copy_only=False)
    return at + 1 + column.marked


def _put_categories(found: Floats, at: int, array: pa.Array, column: CategoricalColumn) -> int:
    known = pa.array(column.categories, pa.string())
    places = pc.index_in(array, known).fill_null(len(known)).to_numpy(zero_copy_only=False)
    found[np.arange(len(array)), at + places] = 1.0
    return at + len(known) + 1
