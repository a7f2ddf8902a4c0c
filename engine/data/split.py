"""A dataset as jobs use it: arrays in named splits."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from tokenizers import Tokenizer

from pith.dataset import FittedPreprocessing
from pith.task import LossName, Task

Chosen = np.ndarray[Any, Any] | slice


class Rows(Protocol):
    """What is asked of the values of one input: an array of shape (samples, …), or what reads like one."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def size(self) -> int: ...
    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any, /) -> np.ndarray[Any, Any]: ...


@dataclass(frozen=True)
class Pictures:
    """Bytes of shape (samples, channels, height, width) that are given out as (value / 255 - mean) / std, float32."""

    pixels: np.ndarray[Any, np.dtype[np.uint8]]
    mean: np.ndarray[Any, Any]
    std: np.ndarray[Any, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.pixels.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    @property
    def ndim(self) -> int:
        return self.pixels.ndim

    @property
    def size(self) -> int:
        return self.pixels.size

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: Any) -> np.ndarray[Any, Any]:
        values = np.asarray(self.pixels[rows], np.float32)
        values *= (1 / (255 * self.std)).astype(np.float32)
        values -= (self.mean / self.std).astype(np.float32)
        return values


@dataclass(frozen=True)
class Part:
    """Some rows of an input's values."""

    whole: Rows
    rows: np.ndarray[Any, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.whole.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.whole.dtype

    @property
    def ndim(self) -> int:
        return self.whole.ndim

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> np.ndarray[Any, Any]:
        return self.whole[self.rows[rows]]


@dataclass(frozen=True)
class Split:
    """One array of shape (samples, …) for each input of the model, and what is to come out, or None.

    ``y`` holds class numbers of shape (samples,), or floating-point targets of shape (samples, …).
    """

    x: tuple[Rows, ...]
    y: np.ndarray[Any, Any] | None

    def __len__(self) -> int:
        return len(self.x[0])

    def inputs(self, rows: Chosen, dtypes: tuple[torch.dtype, ...]) -> tuple[torch.Tensor, ...]:
        """These samples, one tensor for each input."""
        return tuple(
            torch.from_numpy(np.array(array[rows])).to(dtype) for array, dtype in zip(self.x, dtypes, strict=True)
        )

    def labels(self, rows: Chosen) -> torch.Tensor | None:
        """int64 class numbers, or float32 targets; None without labels."""
        if self.y is None:
            return None
        chosen = torch.from_numpy(np.array(self.y[rows]))
        return chosen.float() if self.y.dtype.kind == "f" else chosen.long()

    def part(self, rows: np.ndarray[Any, Any]) -> "Split":
        """These rows alone, in their order; nothing is copied."""
        return Split(tuple(Part(each, rows) for each in self.x), None if self.y is None else self.y[rows])


class TokenIds(NamedTuple):
    """``place`` is the input that holds ids; ``kept`` are padding and marks, ``unknown`` what stands for any word."""

    place: int
    unknown: int
    kept: tuple[int, ...]


@dataclass(frozen=True)
class Fitted:
    """Preprocessing as it was fitted to a training split."""

    facts: FittedPreprocessing
    tokenizer: Tokenizer | None = None


@dataclass(frozen=True)
class Dataset:
    """``train`` may be unlabelled; ``test`` is read for measuring alone and never for a choice.

    ``task`` None is classification as an ``.npz`` of class numbers means it; ``loss`` belongs to the task generic.
    ``family`` is what samples were: image, audio, text, tabular or tensor. ``fitted`` is how they became arrays.
    ``classes`` are the names of the classes, where they have any.
    """

    train: Split | None
    test: Split | None
    task: Task | None = None
    loss: LossName | None = None
    validation: Split | None = None
    family: str = "tensor"
    fitted: Fitted | None = None
    tokens: TokenIds | None = None
    classes: tuple[str, ...] = ()

    def names(self) -> str:
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        present = [f"{'' if split.y is not None else 'unlabelled '}{name}" for name, split in splits.items() if split]
        return " and ".join(present) or "nothing"
