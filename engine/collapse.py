"""Whether training has ruined a model: the loss may be finite, and every answer the same."""

import numpy as np

from engine.context import Context
from engine.data import Split
from engine.judge import judge
from engine.model import Model

WATCHED = 512
LEARNT = 0.1
LEFT = 0.25


class Collapse:
    """Accuracy on a few samples after each epoch, against its best so far. For tasks of classes with labels alone."""

    def __init__(self, model: Model, ctx: Context, watched: bool = True) -> None:
        self.model, self.ctx = model, ctx
        self.best = 0.0
        self.objective = ctx.objective()
        watched = watched and self.objective.classes and model.signature.class_scores()
        self.split = self._watched() if watched else None
        self.chance = 0.0 if self.split is None else _largest_share(self.split)

    @property
    def learnt(self) -> bool:
        """Whether there is something that can be lost."""
        return self.best - self.chance > LEARNT

    def of_epoch(self) -> str | None:
        """What happened, as part of a sentence, when no more than a quarter is left of what was well above chance."""
        if self.split is None:
            return None
        now = judge(self.model, self.split, self.objective, self.ctx.device)
        if self.learnt and now - self.chance < LEFT * (self.best - self.chance):
            return f"accuracy on {len(self.split)} samples fell from {self.best:.3f} to {now:.3f}"
        self.best = max(self.best, now)
        return None

    def _watched(self) -> Split | None:
        """Of the validation split, else of the training split; evenly spread, as rows may stand by class."""
        dataset = self.ctx.dataset
        split = (dataset.validation or dataset.train) if dataset else None
        if split is None or split.y is None or split.y.dtype.kind == "f":
            return None
        rows = np.unique(np.linspace(0, len(split) - 1, min(WATCHED, len(split))).astype(int))
        return split.part(rows)


def _largest_share(split: Split) -> float:
    assert split.y is not None
    return float(np.bincount(split.y).max() / len(split))
