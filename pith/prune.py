"""The prune family: remove weights or zero them."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from pith.base import Change, Need, Step
from pith.training import TrainingOptions

# No control characters: PostgreSQL cannot store a NUL in JSON.
LayerPattern = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,255}$")]


class Iterative(Step):
    """What every pruning step shares: a schedule, and recovery along it."""

    iterations: int = Field(
        1, ge=1, le=100, description="Reach the target in this many parts, with recovery after each."
    )
    recovery: TrainingOptions | None = Field(
        None, description="Fine-tuning after each iteration; null leaves the model as pruning left it."
    )

    def required(self) -> frozenset[Need]:
        return self.needs | {"training_data", "labels"} if self.recovery else self.needs


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


class PruneChannel(Iterative):
    """Remove whole channels, with everything that depends on them, so that the model is smaller and faster.

    The classifier's outputs are never removed. Importance of a group of coupled channels is the norm of
    its weights, averaged over the group.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"shapes", "values"})
    paper: ClassVar[str] = "Fang, Ma, Song, Mi and Wang 2023, arXiv 2301.12900 (DepGraph)"
    limits: ClassVar[str] = "Attention heads are left as they are."

    kind: Literal["prune.channel"] = "prune.channel"
    pruning_ratio: float = Field(0.5, gt=0, lt=1, description="Fraction of the channels removed.")
    importance: Literal["l1", "l2"] = Field("l2", description="Norm that scores a channel.")
    scope: Literal["layer", "global"] = Field(
        "layer", description="Same ratio in every layer, or the least important channels of the whole model."
    )
    round_to: int = Field(8, ge=1, le=256, description="Keep widths at multiples of this number.")
    ignore: tuple[LayerPattern, ...] = Field(
        (), max_length=1000, description="Layers left alone: shell patterns over dotted names, such as layer4.*"
    )


Prune = Annotated[PruneMagnitude | PruneChannel, Field(discriminator="kind")]
