"""``quantize.codebook``."""

from math import prod
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pith.base import Change, Need
from pith.idle import refuse_idle
from pith.outlook import Given, Outlook, names, share
from pith.selective import Selective
from pith.training import TrainingOptions


class QuantizeCodebook(Selective):
    """Let the weights of a layer share a few values, found by k-means and then fine-tuned; zeros stay zeros.

    Weights stay floating-point numbers and shapes stay as they are: it is encoding that makes the file small.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"values"})
    paper: ClassVar[str] = "Han, Mao and Dally 2015, arXiv 1510.00149 (Deep Compression), section 3"
    limits: ClassVar[str] = "Runtimes compute with these weights as with any others; only an encoded file is smaller."

    kind: Literal["quantize.codebook"] = "quantize.codebook"
    bits: int = Field(5, ge=1, le=8, description="A codebook holds 2 to the power of this many values, beside zero.")
    granularity: Literal["layer", "model"] = Field("layer", description="What shares one codebook.")
    initialization: Literal["linear", "density", "random"] = Field(
        "linear",
        description="Where k-means begins: evenly between the least and the greatest weight, evenly among the sorted "
        "weights, or at weights drawn by chance.",
    )
    rate_weight: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Prefer values that are frequent: one bit more costs as much as a squared error of this many "
        "variances of the nonzero weights (Choi, El-Khamy and Lee 2016, arXiv 1612.01543).",
    )
    float16: bool = Field(True, description="Values that float16 holds exactly, which makes codebooks half as large.")
    bias_bits: int | None = Field(
        None,
        ge=1,
        le=8,
        description="Biases of these layers share 2 to the power of this many values; null keeps them.",
    )
    reassign: bool = Field(
        True,
        description="While recovery trains, let weights change to another of the values (straight-through estimator, "
        "arXiv 1308.3432); false keeps k-means' choice, as the paper does.",
    )
    recovery: TrainingOptions | None = Field(
        None, description="Fine-tuning of the shared values and of all that is not shared; null leaves k-means' values."
    )

    @model_validator(mode="after")
    def _trains(self) -> Self:
        if self.recovery is None:
            refuse_idle(self, "nothing is trained", "give a recovery", "reassign")
        return self

    def asks(self) -> tuple[str, ...]:
        return ("recovery (null does without)",) if self.recovery else ()

    def required(self) -> frozenset[Need]:
        return self.needs | {"training_data", "labels"} if self.recovery else self.needs

    def outlook(self, given: Given) -> Outlook:
        layers = self.selected(given)
        weights = sum(prod(layer.shape) for layer in layers)
        tuned = f", followed by {self.recovery.foreseen(given.samples)}" if self.recovery else ""
        return Outlook(
            does=f"Lets {weights:,} weights of {share(len(layers), len(given.weighted()), 'layers')} share "
            f"{2**self.bits} values{' in each layer' if self.granularity == 'layer' else ''}, beside zero{tuned}.",
            touched=names(layers),
            left_alone=self.ignored(given),
            trained=self.recovery.epochs * (given.samples or 0) if self.recovery else 0,
            batch=self.recovery.together(given.samples) if self.recovery else 0,
            refusals=tuple(self.unselected(given)),
        )
