"""Foreign Arrow columns as the few types that the engine keeps: text, int64, float64, bytes, tensors of one shape.

Not covered: dates, durations, maps, unions, lists of texts; extension types are refused, for some unpickle.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from engine.data.limits import SAMPLE_BYTES
from engine.data.refusals import mismatch, too_large
from engine.data.source import Source

_TEXT = (types.is_string, types.is_large_string, types.is_string_view)
_BYTES = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
_LISTS = (types.is_list, types.is_large_list, types.is_fixed_size_list)


def supported(kind: pa.DataType) -> bool:
    """Whether a column of this type can be kept."""
    if types.is_dictionary(kind):
        return supported(kind.value_type)
    if _is(kind, _LISTS):
        return number_below(kind) is not None
    return _is(kind, (*_TEXT, *_BYTES)) or _is_number(kind) or types.is_null(kind) or is_media(kind)


def is_media(kind: pa.DataType) -> bool:
    """The struct in which Hugging Face datasets keep pictures and sounds."""
    return types.is_struct(kind) and {field.name for field in kind} == {"bytes", "path"}


def number_below(kind: pa.DataType) -> pa.DataType | None:
    """The type of the numbers in a list, or in lists of lists."""
    while _is(kind, _LISTS):
        kind = kind.value_type
    return kind if types.is_integer(kind) or types.is_floating(kind) else None


def plain(name: str, array: pa.Array, source: Source) -> pa.Array:
    """The column as one of the types that are kept.

    Raises:
        PithError: ``dataset_mismatch`` or ``dataset_too_large``.
    """
    kind = array.type
    if types.is_dictionary(kind):
        return plain(name, array.dictionary_decode(), source)
    if _is(kind, _TEXT):
        return array.cast(pa.string())
    if is_media(kind):
        return _media(name, array)
    if _is(kind, _BYTES):
        return array.cast(pa.binary())
    if _is(kind, _LISTS):
        return _tensors(name, array, source)
    if types.is_boolean(kind) or types.is_integer(kind):
        return _cast(name, array, pa.int64())
    return _cast(name, array, pa.string() if types.is_null(kind) else pa.float64())


def _cast(name: str, array: pa.Array, kind: pa.DataType) -> pa.Array:
    try:
        return array.cast(kind)
    except pa.ArrowInvalid as error:
        raise mismatch(
            f"column {name!r}", f"does not fit {kind} ({str(error)[:100]})", "store smaller numbers"
        ) from None


def _media(name: str, array: pa.Array) -> pa.Array:
    data = pc.struct_field(array, "bytes")
    if data.null_count:
        raise mismatch(
            f"column {name!r}",
            "names files that lie elsewhere",
            "embed the bytes (datasets: Dataset.save_to_disk after map, or push as Parquet)",
        )
    return data.cast(pa.binary())


def _tensors(name: str, array: pa.Array, source: Source) -> pa.Array:
    shape, flat = _flatten(name, array)
    known = source.shapes.setdefault(name, shape)
    if known != shape:
        raise mismatch(f"column {name!r}", f"has values of the shapes {known} and {shape}", "give all the same shape")
    if flat.null_count:
        raise mismatch(f"column {name!r}", "has missing numbers inside a sample", "fill them")
    return pa.FixedSizeListArray.from_arrays(flat, math.prod(shape))


def _flatten(name: str, array: pa.Array) -> tuple[tuple[int, ...], pa.Array]:
    shape: list[int] = []
    while _is(array.type, _LISTS):
        if array.null_count:
            raise mismatch(f"column {name!r}", "has samples without a value", "remove those rows")
        lengths = pc.unique(pc.list_value_length(array)).to_pylist()
        if len(lengths) != 1 or not lengths[0]:
            raise mismatch(
                f"column {name!r}", f"has lists of the lengths {lengths[:3]}", "pad them to one length, or leave it out"
            )
        shape.append(int(lengths[0]))
        array = array.flatten()
    if math.prod(shape) * 8 > SAMPLE_BYTES:
        raise too_large(f"The size of a value of {name!r}", math.prod(shape) * 8, SAMPLE_BYTES)
    return tuple(shape), array


def from_numpy(array: "np.ndarray[Any, Any]") -> pa.Array:
    """Rows of an array; anything with more than one dimension as fixed-size lists. Bools become uint8."""
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if array.ndim == 1:
        return pa.array(array)
    flat = np.ascontiguousarray(array).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), math.prod(array.shape[1:]))


def to_numpy(array: pa.Array, shape: tuple[int, ...]) -> "np.ndarray[Any, Any]":
    """The rows of a tensor column as one array of shape (rows, *shape)."""
    values = array.flatten() if types.is_fixed_size_list(array.type) else array
    found: np.ndarray[Any, Any] = values.to_numpy(zero_copy_only=False)
    return found.reshape(len(array), *shape)


def dtype_name(kind: pa.DataType) -> str:
    """As numpy calls it: float32, int64; string and binary."""
    kind = kind.value_type if types.is_fixed_size_list(kind) else kind
    number = types.is_integer(kind) or types.is_floating(kind)
    return np.dtype(kind.to_pandas_dtype()).name if number else str(kind)


def _is(kind: pa.DataType, checks: tuple[Callable[[pa.DataType], bool], ...]) -> bool:
    return any(check(kind) for check in checks)


def _is_number(kind: pa.DataType) -> bool:
    return _is(kind, (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal))
