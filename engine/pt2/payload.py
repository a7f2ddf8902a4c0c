"""Weights and constants: what the config says of each tensor, held against the bytes that are really there."""

import math
import re
from collections.abc import Mapping
from typing import Any

from engine.pt2.checks import Check, Wrong, boolean, dict_of, record, show
from engine.pt2.names import dotted
from engine.pt2.program import FLOATS, tensor_meta
from pith.errors import PithError

BOOL = 12
# Bytes of an element, by ScalarType number.
_WIDTH = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 10: 8, 11: 16, 12: 1, 13: 2}
_PICKLED = re.compile(r"(?:custom|opaque)_obj")


def payload_config(prefix: str, sizes: Mapping[str, int]) -> Check:
    """The check of a config whose members are called ``prefix`` and a number; ``sizes`` has their bytes.

    Raises:
        PithError: ``model_unsafe`` for anything that torch would unpickle.
    """
    name = re.compile(rf"{prefix}[0-9]{{1,9}}")
    entry = record(
        path_name=lambda value: _member(value, name), is_param=boolean, use_pickle=_raw, tensor_meta=tensor_meta
    )

    def check(value: Any) -> dict[str, Any]:
        clean: dict[str, Any] = record(config=dict_of(dotted, entry))(value)
        dtypes: dict[str, int] = {}
        for tensor, meta in clean["config"].items():
            _check_extent(tensor, meta, sizes, dtypes)
        return clean

    return check


def _member(value: Any, name: re.Pattern[str]) -> str:
    if isinstance(value, str) and _PICKLED.match(value):
        raise _pickled(f"the pickled object {show(value)}")
    if not isinstance(value, str) or not name.fullmatch(value):
        raise Wrong(f"{show(value)} is no tensor's file")
    return value


def _raw(value: Any) -> bool:
    if value is not False:
        raise _pickled("a pickled tensor")
    return False


def _pickled(found: str) -> PithError:
    return PithError("model_unsafe", found=found, way_out="keep plain tensors only in the model, and export it again")


def _check_extent(tensor: str, entry: dict[str, Any], sizes: Mapping[str, int], dtypes: dict[str, int]) -> None:
    meta, path = entry["tensor_meta"], entry["path_name"]
    if path not in sizes:
        raise Wrong(f"{tensor} lies in {path}, which is missing")
    if dtypes.setdefault(path, meta["dtype"]) != meta["dtype"]:
        raise Wrong(f"{tensor} reads {path} with another type than its other reader")
    if meta["requires_grad"] and meta["dtype"] not in FLOATS:
        raise Wrong(f"{tensor} is made of integers and wants gradients")
    width = _WIDTH[meta["dtype"]]
    shape, strides = _numbers(tensor, meta["sizes"]), _numbers(tensor, meta["strides"])
    (offset,) = _numbers(tensor, [meta["storage_offset"]])
    if len(shape) != len(strides):
        raise Wrong(f"{tensor} has {len(shape)} sizes and {len(strides)} strides")
    elements, rest = divmod(sizes[path], width)
    if rest or offset + _span(tensor, shape, strides) > elements:
        raise Wrong(f"{tensor} claims shape {shape} from element {offset} on, and {path} holds {sizes[path]} bytes")


def _numbers(tensor: str, values: list[dict[str, Any]]) -> list[int]:
    if not all("as_int" in value and value["as_int"] >= 0 for value in values):
        raise Wrong(f"{tensor} has a size that is no natural number")
    return [value["as_int"] for value in values]


def _span(tensor: str, shape: list[int], strides: list[int]) -> int:
    """Elements from the first to behind the last. No two places may be one element, so memory bounds the shape."""
    if not math.prod(shape):
        if max(shape) > 1 << 40:
            raise Wrong(f"{tensor} claims shape {shape}")
        return 0
    reach = 0
    for stride, size in sorted((stride, size) for stride, size in zip(strides, shape, strict=True) if size > 1):
        if stride <= reach:
            raise Wrong(f"{tensor} of shape {shape} has strides {strides}, which overlap")
        reach += stride * (size - 1)
    return reach + 1
