"""Whether prepared samples and labels are what the model takes and gives."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from engine.data.refusals import mismatch
from engine.data.split import Rows
from engine.signature import Signature, Sizes, TensorSpec

Array = np.ndarray[Any, Any]


def check_inputs(name: str, x: Rows, spec: TensorSpec, way_out: str | None = None) -> None:
    """
    Raises:
        PithError: ``dataset_mismatch``.
    """
    wanted = spec.shape[1:]
    fits = x.ndim == len(spec.shape) and all(
        want in (None, have) for want, have in zip(wanted, x.shape[1:], strict=True)
    )
    if not fits:
        takes = f"the model takes (samples, {_shown(wanted)}); {way_out or 'reshape or transpose it'}"
        raise mismatch(name, f"has the shape {x.shape}", takes)
    if spec.dtype.is_floating_point and x.dtype.kind != "f":
        raise mismatch(
            name,
            f"has the dtype {x.dtype}, and the model takes fractions",
            "scale it as in training and save it as float32",
        )
    if not spec.dtype.is_floating_point and x.dtype.kind not in "iub":
        raise mismatch(
            name,
            f"has the dtype {x.dtype}, and the model takes integers, such as token ids",
            "save integers, or use a model that takes fractions",
        )


def check_finite(name: str, array: Array) -> None:
    if array.dtype.kind == "f" and not all(np.isfinite(block).all() for block in _blocks(array)):
        raise mismatch(name, "holds NaN or infinity", "remove those samples")


def check_labels(name: str, y: Array, signature: Signature, new_outputs: bool = False) -> None:
    """``new_outputs``: the model will get others than its own, which these may be for.

    Raises:
        PithError: ``dataset_mismatch``.
    """
    output = signature.outputs[0].shape
    if y.dtype.kind == "f" and (new_outputs or _like(y, output)):
        check_finite(name, y)
    elif not new_outputs and (len(output) != 2 or output[-1] is None):
        raise mismatch(
            name,
            f"has the shape {y.shape} and the dtype {y.dtype}",
            f"the model's output is ({_shown(output)}): class numbers need (samples, classes), and targets its shape",
        )
    elif y.ndim != 1 or y.dtype.kind not in "iu":
        raise mismatch(
            name,
            f"has the shape {y.shape} and the dtype {y.dtype}",
            "labels are one class number a sample, as integers (of one-hot rows, take argmax(axis=1))",
        )
    if y.dtype.kind != "f":
        _check_classes(name, y, int(y.max()) + 1 if new_outputs else int(output[-1] or 0))


def _like(targets: Array, output: Sizes) -> bool:
    """Whether targets have the output's shape; for one number a sample, shape (samples,) does too."""
    shape = (*targets.shape, 1) if targets.ndim == 1 and len(output) == 2 else targets.shape
    return len(shape) == len(output) and all(
        want in (None, have) for want, have in zip(output[1:], shape[1:], strict=True)
    )


def _check_classes(name: str, y: Array, classes: int) -> None:
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= classes:
        raise mismatch(
            name,
            f"has labels from {low} to {high}",
            f"the model has the classes 0 to {classes - 1}; number the labels as the model does, or let finetune.head "
            "give the model an output for each class as the first step",
        )


def _shown(sizes: Sizes) -> str:
    return ", ".join("any" if size is None else str(size) for size in sizes)


def _blocks(array: Array, rows: int = 4096) -> Iterator[Array]:
    for start in range(0, len(array), rows):
        yield array[start : start + rows]
