"""A training split with unlabelled samples behind it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.data import Rows, Split


@dataclass(frozen=True)
class Joined:
    """The values of one input in two datasets, one after the other."""

    first: Rows
    second: Rows

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.first) + len(self.second), *self.first.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.first.dtype

    @property
    def ndim(self) -> int:
        return self.first.ndim

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray[Any, Any]:
        places = np.arange(len(self))[rows]
        early = places < len(self.first)
        found = np.empty((len(places), *self.shape[1:]), self.dtype)
        found[early] = self.first[places[early]]
        found[~early] = self.second[places[~early] - len(self.first)]
        return found


def joined(labelled: Split, more: Split) -> Split:
    """Rows of ``labelled`` first. Labels of the others are zeros, which nobody may read."""
    y = labelled.y
    if y is not None:
        y = np.concatenate([y, np.zeros((len(more), *y.shape[1:]), y.dtype)])
    return Split(tuple(Joined(one, other) for one, other in zip(labelled.x, more.x, strict=True)), y)
