"""Batches of a split on a device, as the training loop draws them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from engine.data import Split
from engine.model import Model

IN_MEMORY_BYTES = 2 << 30


class Chosen(NamedTuple):
    """``batch`` counts them in the epoch; ``rows`` are the samples' places in the split."""

    batch: int
    rows: Tensor
    inputs: tuple[Tensor, ...]
    labels: Tensor | None


class Batches:
    """Shuffled batches of a split on a device. A last batch of one sample is left out: batch norms need two."""

    def __init__(self, split: Split, size: int, model: Model, device: torch.device) -> None:
        self.split, self.dtypes, self.device = split, model.signature.dtypes(), device
        self.size = min(size, len(split))
        whole, rest = divmod(len(split), self.size)
        self.count = whole + (rest > 1)
        self.layout = layout_of(model)
        self._whole = self._placed(slice(None)) if _in_memory_bytes(split, model) <= IN_MEMORY_BYTES else None

    def epoch(self, order: torch.Generator, start: int) -> Iterator["Chosen"]:
        """Every sample once, in an order of that generator, from a batch on."""
        rows = torch.randperm(len(self.split), generator=order)
        for batch in range(start, self.count):
            chosen = rows[batch * self.size : (batch + 1) * self.size]
            yield Chosen(batch, chosen, *self.take(chosen))

    def take(self, rows: Tensor) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """These samples, in this order."""
        if self._whole is None:
            inputs, labels = self._placed(np.sort(rows.numpy()))
            rows = rows.argsort().argsort()
        else:
            inputs, labels = self._whole
        rows = rows.to(self.device)
        chosen = tuple(each[rows].contiguous(memory_format=self._format(each)) for each in inputs)
        return chosen, None if labels is None else labels[rows]

    def _placed(self, rows: np.ndarray | slice) -> tuple[tuple[Tensor, ...], Tensor | None]:
        inputs, labels = self.split.inputs(rows, self.dtypes), self.split.labels(rows)
        placed = tuple(each.to(self.device, memory_format=self._format(each)) for each in inputs)
        return placed, None if labels is None else labels.to(self.device)

    def _format(self, each: Tensor) -> torch.memory_format:
        return self.layout if each.ndim == 4 else torch.contiguous_format


def layout_of(model: Model) -> torch.memory_format:
    """Channels last for models of images: several times faster on a CPU, and on a GPU's tensor cores."""
    pictures = any(len(spec.shape) == 4 for spec in model.signature.inputs)
    images = pictures and any(isinstance(module, nn.Conv2d) for _, module in model.layers())
    return torch.channels_last if images else torch.contiguous_format


def _in_memory_bytes(split: Split, model: Model) -> int:
    """What the whole split takes as tensors of the model's own kinds of number."""
    sizes = [array.size * dtype.itemsize for array, dtype in zip(split.x, model.signature.dtypes(), strict=True)]
    return sum(sizes) + (0 if split.y is None else split.y.size * 8)
