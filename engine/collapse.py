"""Whether training has ruined a model: the loss may be finite, and every answer the same."""

import math

import numpy as np

from engine.context import Context
from engine.data import Split
from engine.judge import judge
from engine.model import Model

FEWEST, MOST, PART = 64, 512, 20
"""Samples that are watched: a twentieth of those that an epoch trains on, so that it costs little, within bounds."""
LEARNT = 0.1
LEFT = 0.25
RISEN = 0.1
DEVIATIONS = 3


class Collapse:
    """Accuracy on a few samples after each epoch, against its best so far. For tasks of classes with labels alone.

    Accuracy may also fall while all is well: the statistics of batch norms lag behind the weights in the first steps
    of a training. Then the loss goes on falling, which is measured with the statistics of the batch.
    """

    def __init__(self, model: Model, ctx: Context, watched: bool = True) -> None:
        self.model, self.ctx = model, ctx
        self.best, self.least = 0.0, math.inf
        self.now: float | None = None
        self.objective = ctx.objective()
        watched = watched and self.objective.classes and model.signature.class_scores()
        self.split = self._watched() if watched else None
        self.chance = 0.0 if self.split is None else _largest_share(self.split)
        self.margin = LEARNT if self.split is None else max(LEARNT, _by_luck(self.chance, len(self.split)))

    @property
    def learnt(self) -> bool:
        """Whether there is something that can be lost."""
        return self.best - self.chance > self.margin

    def of_epoch(self, loss: float, last: bool) -> str | None:
        """What happened, as part of a sentence, when no more than a quarter is left of what was well above chance, and
        the epoch's mean loss is a tenth above the least so far, or there is none so far, or no epoch follows that would
        tell."""
        if self.split is None:
            return None
        now, least = judge(self.model, self.split, self.objective, self.ctx.device), self.least
        self.now = now
        self.least = min(loss, least)
        worse = last or least == math.inf or loss > least + RISEN * abs(least)
        if worse and self.learnt and now - self.chance < LEFT * (self.best - self.chance):
            return f"accuracy on {len(self.split)} samples fell from {self.best:.3f} to {now:.3f}"
        self.best = max(self.best, now)
        return None

    @property
    def watches(self) -> str:
        """What ``now``, which was found last, is called."""
        validation = self.ctx.dataset is not None and self.ctx.dataset.validation is not None
        return f"accuracy on {len(self.split or ())} {'validation' if validation else 'training'} samples"

    def _watched(self) -> Split | None:
        """Of the validation split, else of the training split; evenly spread, as rows may stand by class."""
        dataset = self.ctx.dataset
        split = (dataset.validation or dataset.train) if dataset else None
        if split is None or split.y is None or split.y.dtype.kind == "f":
            return None
        trained = dataset.train if dataset and dataset.train is not None else split
        count = min(len(split), MOST, max(FEWEST, len(trained) // PART))
        rows = np.unique(np.linspace(0, len(split) - 1, count).astype(int))
        return split.part(rows)


def _by_luck(chance: float, samples: int) -> float:
    """How far above chance answers without any sense hardly ever are."""
    return DEVIATIONS * math.sqrt(chance * (1 - chance) / samples)


def _largest_share(split: Split) -> float:
    assert split.y is not None
    return float(np.bincount(split.y).max() / len(split))
