"""What a task means: the loss that trains for it, the metric that judges it, and what one sample adds to that metric.

Losses and metrics are about the first output and the labels. Not covered: multi-label accuracy, ranking.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from engine.data import Dataset
from pith.metrics import MetricName
from pith.task import LossName, Task


@dataclass(frozen=True)
class Batch:
    """What a loss is given. ``outputs`` may be followed by features that were asked for; ``rows`` are the samples'
    places in the split that is trained on; ``epoch`` and ``index``, the batch's number in it, name random streams."""

    outputs: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    labels: Tensor | None
    rows: Tensor
    epoch: int
    index: int


Loss = Callable[[Batch], Tensor]
"""``loss(batch)``, a scalar."""

PerSample = Callable[[Tensor, Tensor], Tensor]

CLASSIFICATION: frozenset[Task | None] = frozenset(
    {None, "image-classification", "text-classification", "audio-classification", "tabular-classification"}
)


@dataclass(frozen=True)
class Objective:
    """``classes``: labels are class numbers, and the first output holds a score for each class.

    Where they are not, ``cost(outputs, targets)`` gives one number a sample, and ``metric`` is its mean, or
    ``1 - mean`` where higher is better.
    """

    loss: Loss
    metric: MetricName
    classes: bool
    cost: PerSample


def objective(dataset: Dataset | None, label_smoothing: float = 0.0) -> Objective:
    """What the dataset's task asks for; without a task or a dataset, class numbers.

    Classification trains with cross-entropy and is measured by accuracy; regression with mean squared error and R²;
    embedding with the cosine distance to the target vectors and the cosine similarity; generic with the loss that the
    dataset names, and that loss. ``label_smoothing`` is for classification.
    """
    task, named = (dataset.task, dataset.loss) if dataset else (None, None)
    if task in CLASSIFICATION:
        return Objective(cross_entropy(label_smoothing), "accuracy", True, PER_SAMPLE["cross_entropy"])
    if task == "tabular-regression":
        return Objective(mean_of(named or "mse"), "r2", False, _explained(dataset))
    if task == "embedding":
        return Objective(mean_of(named or "cosine"), "cosine_similarity", False, PER_SAMPLE["cosine"])
    return Objective(mean_of(named or "mse"), "loss", False, PER_SAMPLE[named or "mse"])


def cross_entropy(label_smoothing: float = 0.0) -> Loss:
    """Mean negative log-likelihood of the labels; ``label_smoothing`` moves mass to all classes."""

    def loss(batch: Batch) -> Tensor:
        assert batch.labels is not None
        return functional.cross_entropy(batch.outputs[0].float(), batch.labels, label_smoothing=label_smoothing)

    return loss


def mean_of(name: LossName) -> Loss:
    """The mean over samples of a named loss between the first output and the targets."""
    per_sample = PER_SAMPLE[name]

    def loss(batch: Batch) -> Tensor:
        assert batch.labels is not None
        return per_sample(batch.outputs[0].float(), batch.labels).mean()

    return loss


def _elementwise(function: Callable[..., Tensor]) -> PerSample:
    def per_sample(outputs: Tensor, targets: Tensor) -> Tensor:
        losses: Tensor = function(outputs, targets.to(outputs.dtype).reshape(outputs.shape), reduction="none")
        return losses.flatten(1).mean(1) if losses.ndim > 1 else losses

    return per_sample


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    losses = functional.cross_entropy(outputs, targets, reduction="none")
    return losses.flatten(1).mean(1) if losses.ndim > 1 else losses


def _cosine(outputs: Tensor, targets: Tensor) -> Tensor:
    wanted = targets.to(outputs.dtype).reshape(outputs.shape)
    return 1 - functional.cosine_similarity(outputs.flatten(1), wanted.flatten(1), dim=1)


PER_SAMPLE: dict[LossName, PerSample] = {
    "cross_entropy": _cross_entropy,
    "mse": _elementwise(functional.mse_loss),
    "l1": _elementwise(functional.l1_loss),
    "smooth_l1": _elementwise(functional.smooth_l1_loss),
    "bce": _elementwise(functional.binary_cross_entropy_with_logits),
    "cosine": _cosine,
}


def _explained(dataset: Dataset | None) -> PerSample:
    """Squared error over the variance of the test targets: its mean over the test split is ``1 - R²``.

    Columns whose target never changes are left out; R² is the plain mean over the others.
    """
    test = dataset.test if dataset else None
    if test is None or test.y is None:
        return PER_SAMPLE["mse"]
    variance = torch.from_numpy(column_variance(test.y))

    def per_sample(outputs: Tensor, targets: Tensor) -> Tensor:
        wanted = targets.double().reshape(len(targets), -1)
        errors = (outputs.double().reshape(len(targets), -1) - wanted) ** 2
        varies = variance > 0
        return (errors[:, varies] / variance[varies]).mean(1)

    return per_sample


def column_variance(targets: NDArray[np.generic]) -> NDArray[np.float64]:
    """The variance of each number of a target over the samples, flat."""
    flat = np.asarray(targets).reshape(len(targets), -1)
    found: NDArray[np.float64] = flat.var(axis=0, dtype=np.float64)
    return found
