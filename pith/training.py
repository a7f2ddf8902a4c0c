"""The options of the one training loop, shared by every step that trains."""

from typing import Literal

from pydantic import Field

from pith.base import Frozen


class TrainingOptions(Frozen):
    """How long and how fast to train. The optimizer is AdamW or SGD with Nesterov momentum 0.9."""

    epochs: int = Field(1, ge=1, le=1000, description="Passes over the training split.")
    learning_rate: float = Field(1e-3, gt=0, le=10, description="Peak learning rate.")
    batch_size: int = Field(128, ge=1, le=65536, description="Samples in one optimizer step.")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="Optimizer.")
    weight_decay: float = Field(0.0, ge=0, le=1, description="Decoupled weight decay of the optimizer.")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="Learning rate over time: cosine to zero, or constant."
    )

    def foreseen(self, samples: int | None) -> str:
        """How much training this is, in words, on that many samples."""
        epochs = f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}"
        if samples is None:
            return f"{epochs} in batches of {self.batch_size}"
        size = min(self.batch_size, samples)
        return f"{epochs} of {samples:,} samples in batches of {size} ({self.steps(samples):,} optimizer steps)"

    def steps(self, samples: int) -> int:
        """Optimizer steps of the whole training; a sample that is left alone at the end of an epoch makes none."""
        size = min(self.batch_size, samples)
        return self.epochs * (samples // size + (samples % size > 1))

    def together(self, samples: int | None) -> int:
        """Samples that are in memory at once."""
        return self.batch_size if samples is None else min(self.batch_size, samples)
