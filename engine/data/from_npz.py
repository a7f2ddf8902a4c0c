"""An ``.npz`` as rows: ``x_train``, ``y_train``, ``x_validation``, ``x_test``, …, ``x`` alone for unlabelled samples.

A model with several inputs has ``x_train__<input>`` for each. Stored arrays are mapped, not read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from engine.data import limits
from engine.data.arrow_types import from_numpy
from engine.data.refusals import empty, mismatch, too_large
from engine.data.source import SPLITS, Part, Source
from engine.npz import read_npz
from pith.dataset import SplitName

Arrays = dict[str, np.ndarray[Any, Any]]
LABEL = "y"
_STEMS = ("x", *(f"x_{split}" for split in SPLITS))
_LABELS = tuple(f"y_{split}" for split in SPLITS)


def read(path: Path) -> Source:
    """
    Raises:
        PithError: ``dataset_unreadable``, ``dataset_unsafe``, ``dataset_too_large`` or ``dataset_mismatch``.
    """
    arrays = read_npz(path)
    _check_names(arrays)
    inputs = _inputs(arrays)
    groups: list[tuple[SplitName | None, dict[str, str]]] = []
    for split in (None, *SPLITS):
        names = _names(arrays, split, inputs)
        if names:
            groups.append((split or "train", names))
    if not groups:
        raise mismatch("the dataset", "holds neither x, x_train nor x_test", "add one of them")
    _check_alike(arrays, [names for _, names in groups])
    source = Source("npz", _parts(arrays, groups), label=LABEL if set(arrays) & set(_LABELS) else None)
    for name, array in groups[0][1].items():
        source.shapes[name] = arrays[array].shape[1:]
    for names in (names for _, names in groups if LABEL in names):
        source.shapes[LABEL] = arrays[names[LABEL]].shape[1:]
    return source


def _check_names(arrays: Arrays) -> None:
    for name in arrays:
        stem, _, rest = name.partition("__")
        if (stem not in _STEMS or (name != stem and not rest)) and name not in _LABELS:
            known = (
                "x_train, y_train, x_validation, y_validation, x_test, y_test, x (of several inputs x_train__<input>)"
            )
            raise mismatch(name, "is no array of a dataset", f"name arrays {known}")
    other = next((name for name in arrays if name.split("__")[0] in ("x_train", "y_train")), None)
    lone = next((name for name in arrays if name.split("__")[0] == "x"), None)
    if other and lone:
        raise mismatch(lone, f"stands beside {other}", "keep x for unlabelled data alone, or x_train with y_train")


def _inputs(arrays: Arrays) -> list[str]:
    """Names of the inputs: ``x`` when there is one, else what stands behind the two underscores."""
    found = dict.fromkeys(name.partition("__")[2] or "x" for name in arrays if name not in _LABELS)
    if "x" in found and len(found) > 1:
        other = next(name for name in found if name != "x")
        raise mismatch("x", f"stands beside an array of the input {other!r}", "give every array the name of its input")
    return list(found)


def _names(arrays: Arrays, split: SplitName | None, inputs: list[str]) -> dict[str, str]:
    """The array of each input and of the label in one split; nothing when the split is not there."""
    stem = f"x_{split}" if split else "x"
    wanted = {name: stem if name == "x" else f"{stem}__{name}" for name in inputs}
    present = {name: array for name, array in wanted.items() if array in arrays}
    first, label = next(iter(wanted.values()), stem), f"y_{split}"
    if not present and label in arrays:
        raise mismatch(label, f"has labels, but there is no {first}", f"add {first} or remove {label}")
    if not present:
        return {}
    for array in wanted.values():
        if array not in arrays:
            raise mismatch(array, "is missing", "give every split each input")
    return {**present, LABEL: label} if label in arrays else present


def _check_alike(arrays: Arrays, groups: list[dict[str, str]]) -> None:
    for names in groups:
        first = next(iter(names.values()))
        for name, array in names.items():
            _check_one(array, arrays[array])
            if len(arrays[array]) != len(arrays[first]):
                what = "labels" if name == LABEL else "samples"
                raise mismatch(
                    array, f"has {len(arrays[array])} {what} for {len(arrays[first])} samples", "give each sample one"
                )
            for other in (other[name] for other in groups if name in other):
                mine, its = (f"{_kind(arrays[one])} of the shape {arrays[one].shape[1:]}" for one in (array, other))
                if mine != its:
                    raise mismatch(other, f"has samples of {its}, and {array} of {mine}", "make the splits alike")


def _kind(array: np.ndarray[Any, Any]) -> str:
    return {"f": "fractions", "b": "bools"}.get(array.dtype.kind, "integers")


def _check_one(name: str, array: np.ndarray[Any, Any]) -> None:
    if not array.ndim or not len(array):
        raise empty(f"the array {name} has no samples")
    if array.dtype == np.uint64 and int(array.max()) >> 63:
        raise mismatch(name, "holds numbers of 2**63 or more", "store smaller ones")
    size = array.nbytes // len(array)
    if not size:
        raise mismatch(name, f"has the shape {array.shape}", "give each sample at least one number")
    if size > limits.SAMPLE_BYTES:
        raise too_large(f"The size of a sample of {name}", size, limits.SAMPLE_BYTES)
    if array.dtype.kind == "f" and not all(np.isfinite(block).all() for block in _blocks(array)):
        raise mismatch(name, "holds NaN or infinity", "remove those samples")


def _parts(arrays: Arrays, groups: list[tuple[SplitName | None, dict[str, str]]]) -> Iterator[Part]:
    columns = {name: arrays[array] for _, names in reversed(groups) for name, array in names.items()}
    fields = pa.schema([pa.field(name, _type(name, array)) for name, array in columns.items()])
    for split, names in groups:
        first = arrays[next(iter(names.values()))]
        for start in range(0, len(first), step := _rows(columns)):
            rows = slice(start, start + step)
            count = len(first[rows])
            batch = [
                _cast(names[field.name], arrays[names[field.name]][rows], field.type)
                if field.name in names
                else pa.nulls(count, field.type)
                for field in fields
            ]
            yield Part(split, pa.record_batch(batch, schema=fields))


def _cast(name: str, rows: np.ndarray[Any, Any], kind: pa.DataType) -> pa.Array:
    try:
        return from_numpy(rows).cast(kind)
    except pa.ArrowInvalid:
        raise mismatch(
            name, f"holds numbers that do not fit {kind}, the type of the other splits", "save one type"
        ) from None


def _type(name: str, array: np.ndarray[Any, Any]) -> pa.DataType:
    """Labels of one number a sample are int64 or float64, as they are in every other format."""
    if name == LABEL and array.ndim == 1:
        return pa.float64() if array.dtype.kind == "f" else pa.int64()
    return from_numpy(array[:1]).type


def _rows(columns: Arrays) -> int:
    size = sum(array.nbytes // len(array) for array in columns.values())
    return max(1, min(limits.BATCH_ROWS, limits.BATCH_BYTES // max(size, 1)))


def _blocks(array: np.ndarray[Any, Any], rows: int = 4096) -> Iterator[np.ndarray[Any, Any]]:
    for start in range(0, len(array), rows):
        yield array[start : start + rows]
