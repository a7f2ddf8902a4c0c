"""A dataset in named splits, checked against the model that it is for.

Covered: one array of inputs and one of class numbers for each split. Not covered: other tasks.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engine.npz import read_npz
from engine.signature import Signature
from pith.errors import PithError

NAMES = ("x_train", "y_train", "x_test", "y_test", "x")


@dataclass(frozen=True)
class Split:
    """Inputs of shape (samples, …) and their class numbers of shape (samples,), or None."""

    x: np.ndarray
    y: np.ndarray | None

    def __len__(self) -> int:
        return len(self.x)

    def inputs(self, rows: np.ndarray | slice, dtype: torch.dtype) -> torch.Tensor:
        return torch.from_numpy(np.array(self.x[rows])).to(dtype)

    def labels(self, rows: np.ndarray | slice) -> torch.Tensor | None:
        return None if self.y is None else torch.from_numpy(np.array(self.y[rows])).long()


@dataclass(frozen=True)
class Dataset:
    """``train`` may be unlabelled; ``test`` is read for measuring alone and never for a choice."""

    train: Split | None
    test: Split | None

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
    for name in arrays:
        if name not in NAMES:
            _refuse(name, "is no array of a dataset", f"name arrays {', '.join(NAMES)}")
    if "x" in arrays and {"x_train", "y_train"} & arrays.keys():
        _refuse("x", "stands beside x_train", "keep x for unlabelled data alone, or x_train with y_train")
    train = _split(arrays, "x", None, signature) or _split(arrays, "x_train", "y_train", signature)
    test = _split(arrays, "x_test", "y_test", signature)
    if train is None and test is None:
        _refuse("the dataset", "holds neither x, x_train nor x_test", "add one of them")
    return Dataset(train, test)


def _split(arrays: dict[str, np.ndarray], inputs: str, labels: str | None, signature: Signature) -> Split | None:
    x, y = arrays.get(inputs), arrays.get(labels) if labels else None
    if x is None:
        if y is not None:
            _refuse(f"{labels}", f"has labels, but there is no {inputs}", f"add {inputs} or remove {labels}")
        return None
    _check_inputs(inputs, x, signature)
    if y is not None:
        _check_labels(str(labels), y, len(x), signature)
    return Split(x, y)


def _check_inputs(name: str, x: np.ndarray, signature: Signature) -> None:
    wanted = signature.shape[1:]
    fits = x.ndim == len(signature.shape) and all(
        want in (None, have) for want, have in zip(wanted, x.shape[1:], strict=True)
    )
    if not fits:
        shape = ", ".join("any" if size is None else str(size) for size in wanted)
        _refuse(name, f"has the shape {x.shape}", f"the model takes (samples, {shape}); reshape or transpose it")
    if not len(x):
        _refuse(name, "has no samples", "add some")
    if signature.dtype.is_floating_point and x.dtype.kind != "f":
        _refuse(
            name,
            f"has the dtype {x.dtype}",
            f"scale it as in training and save it as float32; the model takes {signature.dtype}",
        )
    if not signature.dtype.is_floating_point and x.dtype.kind not in "iu":
        _refuse(name, f"has the dtype {x.dtype}", f"the model takes {signature.dtype}")
    if x.dtype.kind == "f" and not all(np.isfinite(block).all() for block in _blocks(x)):
        _refuse(name, "holds NaN or infinity", "remove those samples")


def _check_labels(name: str, y: np.ndarray, samples: int, signature: Signature) -> None:
    classes = signature.output[-1] if len(signature.output) == 2 else None
    if classes is None:
        shape = ", ".join("any" if size is None else str(size) for size in signature.output)
        _refuse(name, "has class numbers", f"the model's output is ({shape}), and labels need (samples, classes)")
    if y.ndim != 1 or y.dtype.kind not in "iu":
        _refuse(
            name,
            f"has the shape {y.shape} and the dtype {y.dtype}",
            "labels are one class number a sample, as integers (of one-hot rows, take argmax(axis=1))",
        )
    if len(y) != samples:
        _refuse(name, f"has {len(y)} labels for {samples} samples", "give one label a sample")
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= int(classes or 0):
        _refuse(
            name,
            f"has labels from {low} to {high}",
            f"the model has the classes 0 to {int(classes or 0) - 1}; number the labels as the model does",
        )


def _blocks(x: np.ndarray, rows: int = 4096) -> list[np.ndarray]:
    return [x[start : start + rows] for start in range(0, len(x), rows)]


def _refuse(array: str, problem: str, way_out: str) -> None:
    raise PithError("dataset_mismatch", array=array, problem=problem, way_out=way_out)
