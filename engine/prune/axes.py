"""Which channels belong together: every place of every axis that may shrink has a number, and ties join numbers.

An axis is an array with one number for each of its places, or None when its size is fixed (batch, time, pixels).
Layers, tensors and constants of the graph note which axes they have; whoever removes channels asks what is left.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Places = NDArray[np.int64]
Axis = Places | None
Value = tuple[Axis, ...]


@dataclass
class Owned:
    """A tensor of the model, the axes it has, and the modules that hold it under a name."""

    tensor: torch.Tensor
    axes: list[Axis]
    owners: list[tuple[nn.Module, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Constant:
    """A number in the graph or on a module that says how many of these places there are."""

    places: Places
    write: Callable[[int], None]


class Axes:
    """Numbers handed out so far, what ties them, and what holds some of them in place."""

    def __init__(self) -> None:
        self.count = 0
        self.tensors: dict[int, Owned] = {}
        self.constants: list[Constant] = []
        self.normed: list[Places] = []
        self._stretched: set[int] = set()
        self._ties: list[tuple[Places, Places]] = []
        self._pins: list[tuple[Places, str]] = []

    def fresh(self, size: int) -> Places:
        self.count += size
        return np.arange(self.count - size, self.count)

    def fixed(self, size: int, reason: str) -> Places:
        """Places that can never go."""
        places = self.fresh(size)
        self.pin(places, reason)
        return places

    def stretched(self, size: int) -> Places:
        """Places that are all alike, as a constant stretches one to many."""
        places = self.fresh(size)
        self._stretched.update(places.tolist())
        return places

    def alike(self, axis: Places) -> bool:
        return self._stretched.issuperset(axis.tolist())

    def pin(self, axis: Axis, reason: str) -> None:
        if axis is not None and len(axis):
            self._pins.append((axis, reason))

    def tie(self, one: Axis, other: Axis, reason: str) -> Axis:
        """Join two axes place by place; with a fixed one, the other becomes fixed."""
        if one is None or other is None:
            self.pin(one if other is None else other, reason)
            return None
        if len(one) != len(other):
            raise ValueError(f"{len(one)} places and {len(other)}")
        self._ties.append((one, other))
        return one

    def owned(self, module: nn.Module, name: str) -> Owned:
        """The record of a module's tensor; one that several modules hold has one record."""
        tensor: torch.Tensor = getattr(module, name)
        record = self.tensors.setdefault(id(tensor), Owned(tensor, [None] * tensor.ndim))
        if not any(owner is module and held == name for owner, held in record.owners):
            record.owners.append((module, name))
        return record

    def axis_of(self, module: nn.Module, name: str, dim: int) -> Places:
        """The places of one dimension of a module's tensor."""
        record = self.owned(module, name)
        axis = record.axes[dim]
        if axis is None:
            axis = record.axes[dim] = self.fresh(record.tensor.shape[dim])
        return axis

    def count_of(self, places: Axis, write: Callable[[int], None]) -> None:
        """``write`` will be told how many of these places are left."""
        if places is not None:
            self.constants.append(Constant(places, write))

    def norm(self, places: Axis) -> None:
        """Something averages over these channels: removing even empty ones changes what comes out."""
        if places is not None:
            self.normed.append(places)

    def groups(self) -> Places:
        """For every place the number of its group: the smallest place that it is tied to."""
        labels = np.arange(self.count)
        if not self._ties:
            return labels
        left = np.concatenate([one for one, _ in self._ties])
        right = np.concatenate([other for _, other in self._ties])
        while True:
            least = np.minimum(labels[left], labels[right])
            before = labels.copy()
            for side in (left, right):
                np.minimum.at(labels, before[side], least)
                np.minimum.at(labels, side, least)
            labels = labels[labels]
            if np.array_equal(labels, before):
                return labels

    def pinned(self, labels: Places) -> dict[int, str]:
        """Groups that stay, each with the first reason that was given."""
        found: dict[int, str] = {}
        for places, reason in self._pins:
            for label in np.unique(labels[places]):
                found.setdefault(int(label), reason)
        return found


def joined(axes: Iterable[Axis], sizes: Iterable[int], make: Callable[[int], Places]) -> Axis:
    """Axes one behind the other; ``make`` gives places to those that are fixed, unless all of them are."""
    axes = list(axes)
    if all(axis is None for axis in axes):
        return None
    return np.concatenate([make(size) if axis is None else axis for axis, size in zip(axes, sizes, strict=True)])
