"""The finetune family: train further on a dataset."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pith.base import Change, Need, Step
from pith.training import TrainingOptions


class FinetuneFull(Step, TrainingOptions):
    """Train every weight on the labelled training split with cross-entropy."""

    needs: ClassVar[frozenset[Need]] = frozenset({"training_data", "labels"})
    changes: ClassVar[frozenset[Change]] = frozenset({"values"})
    paper: ClassVar[str] = "Loshchilov and Hutter 2019, arXiv 1711.05101 (AdamW)"
    limits: ClassVar[str] = "Classification only; weights that pruning set to zero stay zero."

    kind: Literal["finetune.full"] = "finetune.full"
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Mass moved from the label to all classes.")


Finetune = Annotated[FinetuneFull, Field(discriminator="kind")]
