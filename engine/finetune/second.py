"""Samples beside those of the loop: of another dataset, or of the training split once more; and their random views."""

import torch
from torch import Tensor

from engine.batches import Batches
from engine.context import Context
from engine.data import Dataset, Split
from engine.model import Model
from engine.randomness import generator, stream
from pith.second import no_split

DRAWN, VIEW = 2, 3
Inputs = tuple[Tensor, ...]


def other_data(id: str, field: str, labelled: bool, model: Model, ctx: Context) -> tuple[Dataset, Split]:
    """Another dataset, and its training split.

    Raises:
        PithError: ``technique_inapplicable`` without one, or any ``dataset_…`` code.
    """
    dataset = ctx.other_dataset(id, model)
    split = dataset.train
    if split is None or (labelled and split.y is None):
        refusal = no_split(field, labelled)
        raise ctx.inapplicable(refusal.reason, refusal.way_out)
    return dataset, split


class Drawn:
    """Batches of a split in random order, with replacement, each named by its epoch and its number in it."""

    def __init__(self, split: Split, size: int, model: Model, ctx: Context) -> None:
        self.batches, self.ctx, self.size = Batches(split, size, model, ctx.device), ctx, min(size, len(split))
        self.length = len(split)

    def __call__(self, epoch: int, index: int) -> tuple[Inputs, Tensor | None]:
        random = generator(self.ctx.spec.seed, self.ctx.step, self.ctx.phase, epoch, index, DRAWN)
        return self.batches.take(torch.randint(self.length, (self.size,), generator=random))


def view_seed(ctx: Context, epoch: int, index: int, number: int) -> int:
    """Of one view of one batch."""
    return stream(ctx.spec.seed, ctx.step, ctx.phase, epoch, index, VIEW, number)
