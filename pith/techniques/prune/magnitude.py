"""``prune.magnitude``."""

from math import prod
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from pith.base import Change, Frozen, Need
from pith.iterative import Iterative
from pith.outlook import Given, Outlook, names, share
from pith.selective import Selective


class Gradual(Frozen):
    """Pruning while recovery trains: sparsity grows by the cubic law of Zhu and Gupta 2017 (arXiv 1710.01878)."""

    begin: float = Field(0.0, ge=0, lt=1, description="Part of recovery's steps before the first weight goes.")
    end: float = Field(0.6, gt=0, le=1, description="Part of recovery's steps after which the sparsity is reached.")
    every: int = Field(50, ge=1, le=100_000, description="Optimizer steps from one choice of weights to the next.")

    @model_validator(mode="after")
    def _in_order(self) -> "Gradual":
        if self.begin >= self.end:
            raise ValueError(f"begin is {self.begin:g} and end is {self.end:g}; set begin to less than end")
        return self


class PruneMagnitude(Iterative, Selective):
    """Set the smallest weights of convolutions and linear layers to zero; shapes stay as they are."""

    changes: ClassVar[frozenset[Change]] = frozenset({"values"})
    paper: ClassVar[str] = "Han, Pool, Tran and Dally 2015, arXiv 1506.02626; gradually: Zhu and Gupta 2017, 1710.01878"
    limits: ClassVar[str] = "Dense runtimes do not run zeros faster; the file shrinks only when it is compressed."

    kind: Literal["prune.magnitude"] = "prune.magnitude"
    sparsity: float = Field(0.5, gt=0, lt=1, description="Fraction of the weights that end as zero.")
    criterion: Literal["l1", "l2", "lamp", "taylor", "random"] = Field(
        "l1",
        description="What scores a weight: its magnitude or its square, which differ only in a normalized scope; its "
        "square over the sum of those in its layer that are no smaller (LAMP, arXiv 2010.07611); its square times the "
        "mean square of its gradient (Taylor, arXiv 1906.10771), which compares layers best; or chance.",
    )
    scope: Literal["layer", "global", "normalized"] = Field(
        "layer",
        description="Same sparsity in every layer; or one threshold for the whole model; or one threshold after the "
        "scores of each layer were divided by their mean.",
    )
    gradual: Gradual | None = Field(
        None, description="Prune along recovery's training instead of before it; takes one iteration."
    )

    @model_validator(mode="after")
    def _one_schedule(self) -> "PruneMagnitude":
        if self.gradual and self.recovery is None:
            raise ValueError("gradual pruning happens while recovery trains: add recovery")
        if self.gradual and self.iterations > 1:
            raise ValueError("is gradual or has several iterations, and not both")
        return self

    def asks(self) -> tuple[str, ...]:
        taylor = ("criterion taylor (l1 does without)",) if self.criterion == "taylor" else ()
        return *taylor, *super().asks()

    def required(self) -> frozenset[Need]:
        learns = self.criterion == "taylor"
        return super().required() | (frozenset({"training_data", "labels"}) if learns else frozenset())

    def outlook(self, given: Given) -> Outlook:
        layers = self.selected(given)
        weights = sum(prod(layer.shape) for layer in layers)
        return Outlook(
            does=f"Sets {round(self.sparsity * weights):,} of {weights:,} weights in "
            f"{share(len(layers), len(given.weighted()), 'layers')} to zero{self._when(given)}.",
            touched=names(layers),
            left_alone=self.ignored(given),
            trained=self.trained(given) + self._scored(given),
            batch=self.together(given),
            refusals=tuple(self.unselected(given)),
        )

    def _when(self, given: Given) -> str:
        if self.gradual is None or self.recovery is None:
            return self.recovered(given)
        return f", more and more of them during {self.recovery.foreseen(given.samples)}"

    def _scored(self, given: Given) -> int:
        """Samples that gradients are taken of before training, which the criterion of Taylor alone asks for."""
        if self.criterion != "taylor" or self.gradual is not None:
            return 0
        return self.iterations * min(SCORED_SAMPLES, given.samples or SCORED_SAMPLES)


SCORED_SAMPLES = 4096
