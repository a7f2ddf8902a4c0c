"""``finetune.full``."""

from typing import ClassVar, Literal

from pydantic import Field

from pith.base import Change, Need, Step
from pith.outlook import Given, Outlook, Refusal
from pith.training import TrainingOptions


class FinetuneFull(Step, TrainingOptions):
    """Train every weight on the labelled training split with the task's loss."""

    needs: ClassVar[frozenset[Need]] = frozenset({"training_data", "labels"})
    changes: ClassVar[frozenset[Change]] = frozenset({"values"})
    paper: ClassVar[str] = "Loshchilov and Hutter 2019, arXiv 1711.05101 (AdamW)"
    limits: ClassVar[str] = "Weights that pruning set to zero stay zero."

    kind: Literal["finetune.full"] = "finetune.full"
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Mass moved from the label to all classes; refused for tasks without classes."
    )

    def outlook(self, given: Given) -> Outlook:
        smoothed = self.label_smoothing and not given.classes
        reason = "label_smoothing is for classes, which this task has not"
        return Outlook(
            does=f"Trains all {given.parameters:,} parameters for {self.foreseen(given.samples)}.",
            touched=tuple(layer.name for layer in given.layers),
            trained=self.epochs * (given.samples or 0),
            batch=self.together(given.samples),
            refusals=(Refusal(reason=reason, way_out="leave it out", field="label_smoothing"),) if smoothed else (),
        )
