"""Some samples of those that quality was measured on, and what is right about them, to be asked about again."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.findings.asked import taken
from engine.intervals import Interval, mean_interval, paired_interval, share_interval
from engine.measure import Answers, Samples, mean_cost, metric
from engine.session import Arrays
from pith.report import Metric

Outputs = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Exam:
    """``right`` holds class numbers, or targets for tasks with costs. Outputs are the first ones of a model."""

    samples: Samples
    x: Arrays
    right: NDArray[Any]

    def __len__(self) -> int:
        return len(self.right)

    def costs(self, first: Outputs) -> Outputs:
        """What each sample takes from quality: 1 where the class is wrong, or its cost."""
        if self.samples.classes:
            return np.asarray(first.argmax(axis=1) != self.right, np.float64)
        return self._costs(first, np.arange(len(self)))

    def quality(self, costs: Outputs) -> Metric | None:
        """The metric that constraints are about, on these samples; None where a cost is no number."""
        assert self.samples.quality is not None
        if not np.isfinite(costs).all():
            return None
        if not self.samples.classes:
            return mean_cost(self.samples.quality, costs)
        right = int((costs == 0).sum())
        return metric(self.samples.quality, right / len(self), share_interval(right, len(self)))

    def drop(self, before: Outputs, after: Outputs) -> tuple[float, Interval | None]:
        """How much worse the second costs are than the first, sample by sample, and its interval."""
        moved = after - before
        if not self.samples.classes:
            return float(moved.mean()), mean_interval(moved)
        lost, won = int((moved > 0).sum()), int((moved < 0).sum())
        return (lost - won) / len(self), paired_interval(lost, won, len(self))

    def margin(self, first: Outputs, rows: Rows) -> Outputs:
        """How far each of these samples is from being wrong: what the right class is ahead, or minus its cost."""
        if not self.samples.classes:
            return -self._costs(first, rows)
        every, right = np.arange(len(rows)), self.right[rows]
        others = first.copy()
        others[every, right] = -np.inf
        found: Outputs = first[every, right] - others.max(axis=1)
        return found

    @property
    def wrong(self) -> float:
        """The margin at which a sample is wrong and cannot become more so; costs can always rise."""
        return 0.0 if self.samples.classes else -np.inf

    def _costs(self, first: Outputs, rows: Rows) -> Outputs:
        costs = self.samples.objective.cost(torch.from_numpy(first).float(), torch.from_numpy(self.right[rows]))
        found: Outputs = costs.double().numpy()
        return found


def exam(samples: Samples, before: Answers, rows: Rows) -> Exam:
    """Where there are no labels, what the baseline says of the undisturbed samples is right."""
    labels = before.chosen if samples.split.y is None else samples.split.y
    assert labels is not None
    right = np.asarray(labels[rows], np.float32 if labels.dtype.kind == "f" else np.int64)
    return Exam(samples, taken(samples, rows), right)
