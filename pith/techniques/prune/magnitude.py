"""``prune.magnitude``."""

from math import prod
from typing import ClassVar, Literal

from pydantic import Field

from pith.base import Change
from pith.iterative import Iterative
from pith.outlook import Given, Outlook, Refusal, names


class PruneMagnitude(Iterative):
    """Set the smallest weights of convolutions and linear layers to zero; shapes stay as they are."""

    changes: ClassVar[frozenset[Change]] = frozenset({"values"})
    paper: ClassVar[str] = "Han, Pool, Tran and Dally 2015, arXiv 1506.02626"
    limits: ClassVar[str] = "Dense runtimes do not run zeros faster; the file shrinks only when it is compressed."

    kind: Literal["prune.magnitude"] = "prune.magnitude"
    sparsity: float = Field(0.5, gt=0, lt=1, description="Fraction of the weights that end as zero.")
    scope: Literal["layer", "global"] = Field(
        "layer", description="Same sparsity in every layer, or one threshold for the whole model."
    )

    def outlook(self, given: Given) -> Outlook:
        layers = given.weighted()
        weights = sum(prod(layer.shape) for layer in layers)
        reason = "the model has no convolution and no linear layer"
        return Outlook(
            does=f"Sets {round(self.sparsity * weights):,} of {weights:,} weights in {len(layers)} layers to zero"
            f"{self.recovered(given)}.",
            touched=names(layers),
            trained=self.trained(given),
            batch=self.together(given),
            refusals=() if layers else (Refusal(reason=reason, way_out="leave this step out"),),
        )
