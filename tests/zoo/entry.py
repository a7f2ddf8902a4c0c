"""One architecture of the zoo: a name, a family, how it is built and what goes in."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

CLASSES = 10
Inputs = Callable[[int], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Entry:
    """``build`` makes the eager model, ``inputs`` a batch of that size. ``quick`` models are part of ``make test``."""

    name: str
    family: str
    build: Callable[[], nn.Module]
    inputs: Inputs
    quick: bool = False


def pictures(size: int, channels: int = 3) -> Inputs:
    return lambda batch: (torch.randn(batch, channels, size, size, generator=seeded(batch)),)


def tokens(count: int, words: int) -> Inputs:
    """Token numbers and a mask that hides the end of every second text."""

    def make(batch: int) -> tuple[Tensor, ...]:
        mask = torch.ones(batch, count, dtype=torch.long)
        mask[::2, count // 2 :] = 0
        return torch.randint(1, words, (batch, count), generator=seeded(batch)), mask

    return make


def series(*shape: int) -> Inputs:
    return lambda batch: (torch.randn(batch, *shape, generator=seeded(batch)),)


def seeded(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)
