"""What a dataset asks of a model: the task, and for a task without a name of its own, the loss."""

from typing import Literal

Task = Literal[
    "image-classification",
    "text-classification",
    "audio-classification",
    "tabular-classification",
    "tabular-regression",
    "embedding",
    "generic",
]
LossName = Literal["cross_entropy", "mse", "l1", "smooth_l1", "bce", "cosine"]
