"""A dataset in named splits, checked against the model that it is for.

Covered: one array for each input of the model, and class numbers or floating-point targets, for each split.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engine.npz import read_npz
from engine.signature import Signature, Sizes, TensorSpec
from pith.errors import PithError
from pith.task import LossName, Task


@dataclass(frozen=True)
class Split:
    """One array of shape (samples, …) for each input of the model, and what is to come out, or None.

    ``y`` holds class numbers of shape (samples,), or floating-point targets of shape (samples, …).
    """

    x: tuple[np.ndarray, ...]
    y: np.ndarray | None

    def __len__(self) -> int:
        return len(self.x[0])

    def inputs(self, rows: np.ndarray | slice, dtypes: tuple[torch.dtype, ...]) -> tuple[torch.Tensor, ...]:
        """These samples, one tensor for each input."""
        return tuple(
            torch.from_numpy(np.array(array[rows])).to(dtype) for array, dtype in zip(self.x, dtypes, strict=True)
        )

    def labels(self, rows: np.ndarray | slice) -> torch.Tensor | None:
        """int64 class numbers, or float32 targets; None without labels."""
        if self.y is None:
            return None
        chosen = torch.from_numpy(np.array(self.y[rows]))
        return chosen.float() if self.y.dtype.kind == "f" else chosen.long()


@dataclass(frozen=True)
class Dataset:
    """``train`` may be unlabelled; ``test`` is read for measuring alone and never for a choice.

    ``task`` None is classification as an ``.npz`` of class numbers means it; ``loss`` belongs to the task generic.
    """

    train: Split | None
    test: Split | None
    task: Task | None = None
    loss: LossName | None = None

    def names(self) -> str:
        splits = {"train": self.train, "test": self.test}
        present = [f"{'' if split.y is not None else 'unlabelled '}{name}" for name, split in splits.items() if split]
        return " and ".join(present) or "nothing"


def read_dataset(path: Path, signature: Signature) -> Dataset:
    """The splits in an untrusted ``.npz`` file.

    Raises:
        PithError: ``dataset_unreadable``, ``dataset_unsafe``, ``dataset_too_large`` or ``dataset_mismatch``.
    """
    arrays = read_npz(path)
    names = [name for stem in ("x_train", "x_test", "x") for name in input_names(stem, signature)]
    for name in arrays:
        if name not in (*names, "y_train", "y_test"):
            _refuse(name, "is no array of a dataset", f"name arrays {', '.join((*names, 'y_train', 'y_test'))}")
    for name in arrays.keys() & set(input_names("x", signature)):
        if other := next((other for other in arrays if other.split("__")[0] in ("x_train", "y_train")), None):
            _refuse(name, f"stands beside {other}", "keep x for unlabelled data alone, or x_train with y_train")
    train = _split(arrays, "x", None, signature) or _split(arrays, "x_train", "y_train", signature)
    test = _split(arrays, "x_test", "y_test", signature)
    if train is None and test is None:
        _refuse("the dataset", "holds neither x, x_train nor x_test", "add one of them")
    return Dataset(train, test, _task(train, test))


def input_names(stem: str, signature: Signature) -> tuple[str, ...]:
    """The arrays that feed the model: ``x_train`` for its only input, ``x_train__<input>`` for each of several."""
    if len(signature.inputs) == 1:
        return (stem,)
    return tuple(f"{stem}__{spec.name}" for spec in signature.inputs)


def _task(*splits: Split | None) -> Task | None:
    """Regression where labels are floating point: an ``.npz`` has no other way to say so."""
    kinds = {split.y.dtype.kind == "f" for split in splits if split is not None and split.y is not None}
    if len(kinds) > 1:
        _refuse("y_test", "and y_train have different kinds of number", "give class numbers or targets in both")
    return "tabular-regression" if kinds == {True} else None


def _split(arrays: dict[str, np.ndarray], stem: str, labels: str | None, signature: Signature) -> Split | None:
    names = input_names(stem, signature)
    present, y = [name for name in names if name in arrays], arrays.get(labels) if labels else None
    if not present:
        if y is not None:
            _refuse(f"{labels}", f"has labels, but there is no {names[0]}", f"add {names[0]} or remove {labels}")
        return None
    for name in names:
        if name not in arrays:
            _refuse(name, "is missing", f"the model takes it beside {present[0]}; add it")
    x = tuple(arrays[name] for name in names)
    for name, array, spec in zip(names, x, signature.inputs, strict=True):
        _check_inputs(name, array, spec)
        if len(array) != len(x[0]):
            _refuse(name, f"has {len(array)} samples and {names[0]} {len(x[0])}", "give every input each sample")
    if y is not None:
        _check_labels(str(labels), y, len(x[0]), signature)
    return Split(x, y)


def _check_inputs(name: str, x: np.ndarray, spec: TensorSpec) -> None:
    wanted = spec.shape[1:]
    fits = x.ndim == len(spec.shape) and all(
        want in (None, have) for want, have in zip(wanted, x.shape[1:], strict=True)
    )
    if not fits:
        _refuse(
            name, f"has the shape {x.shape}", f"the model takes (samples, {_shown(wanted)}); reshape or transpose it"
        )
    if not len(x):
        _refuse(name, "has no samples", "add some")
    if spec.dtype.is_floating_point and x.dtype.kind != "f":
        _refuse(
            name,
            f"has the dtype {x.dtype}",
            f"scale it as in training and save it as float32; the model takes {spec.dtype}",
        )
    if not spec.dtype.is_floating_point and x.dtype.kind not in "iub":
        _refuse(name, f"has the dtype {x.dtype}", f"the model takes {spec.dtype}")
    _check_finite(name, x)


def _check_finite(name: str, array: np.ndarray) -> None:
    if array.dtype.kind == "f" and not all(np.isfinite(block).all() for block in _blocks(array)):
        _refuse(name, "holds NaN or infinity", "remove those samples")


def _shown(sizes: Sizes) -> str:
    return ", ".join("any" if size is None else str(size) for size in sizes)


def _check_labels(name: str, y: np.ndarray, samples: int, signature: Signature) -> None:
    output = signature.outputs[0].shape
    if y.dtype.kind == "f" and _fits(y, output):
        _check_finite(name, y)
    elif len(output) != 2 or output[-1] is None:
        _refuse(
            name,
            f"has the shape {y.shape} and the dtype {y.dtype}",
            f"the model's output is ({_shown(output)}): class numbers need (samples, classes), and targets its shape",
        )
    elif y.ndim != 1 or y.dtype.kind not in "iu":
        _refuse(
            name,
            f"has the shape {y.shape} and the dtype {y.dtype}",
            "labels are one class number a sample, as integers (of one-hot rows, take argmax(axis=1))",
        )
    if len(y) != samples:
        _refuse(name, f"has {len(y)} labels for {samples} samples", "give one label a sample")
    if y.dtype.kind != "f":
        _check_classes(name, y, int(output[-1] or 0))


def _fits(targets: np.ndarray, output: Sizes) -> bool:
    """Whether targets have the output's shape; for one number a sample, shape (samples,) does too."""
    shape = (*targets.shape, 1) if targets.ndim == 1 and len(output) == 2 else targets.shape
    return len(shape) == len(output) and all(
        want in (None, have) for want, have in zip(output[1:], shape[1:], strict=True)
    )


def _check_classes(name: str, y: np.ndarray, classes: int) -> None:
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= classes:
        _refuse(
            name,
            f"has labels from {low} to {high}",
            f"the model has the classes 0 to {classes - 1}; number the labels as the model does",
        )


def _blocks(x: np.ndarray, rows: int = 4096) -> list[np.ndarray]:
    return [x[start : start + rows] for start in range(0, len(x), rows)]


def _refuse(array: str, problem: str, way_out: str) -> None:
    raise PithError("dataset_mismatch", array=array, problem=problem, way_out=way_out)
