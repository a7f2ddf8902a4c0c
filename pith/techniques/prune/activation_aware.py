"""``prune.activation_aware``."""

from math import prod
from typing import ClassVar, Literal

from pydantic import Field

from pith.base import Change, Need
from pith.outlook import Given, Outlook, names, share
from pith.selective import Selective


class PruneActivationAware(Selective):
    """Set weights to zero by magnitude times the norm of the input they meet, the same part for each output (Wanda).

    No training: one pass of calibration data. Made for large transformers, which magnitude alone ruins.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"calibration_data"})
    changes: ClassVar[frozenset[Change]] = frozenset({"values"})
    paper: ClassVar[str] = "Sun, Liu, Bair and Kolter 2023, arXiv 2306.11695"
    limits: ClassVar[str] = "Dense runtimes do not run zeros faster; a layer that the model never runs is left alone."

    kind: Literal["prune.activation_aware"] = "prune.activation_aware"
    sparsity: float = Field(0.5, gt=0, lt=1, description="Fraction of the weights of each output that end as zero.")
    calibration_samples: int = Field(
        128, ge=1, le=8192, description="Samples of the training split; they pass through the model together."
    )

    def outlook(self, given: Given) -> Outlook:
        layers, used = self.selected(given), self.used(given.samples)
        weights = sum(prod(layer.shape) for layer in layers)
        return Outlook(
            does=f"Sets about {round(self.sparsity * weights):,} of {weights:,} weights in "
            f"{share(len(layers), len(given.weighted()), 'layers')} to zero, by what they do to {used:,} samples.",
            touched=names(layers),
            left_alone=self.ignored(given),
            run=used,
            batch=used,
            refusals=tuple(self.unselected(given)),
        )

    def used(self, samples: int | None) -> int:
        """How many samples calibration takes of those that there are."""
        return min(self.calibration_samples, samples or self.calibration_samples)
