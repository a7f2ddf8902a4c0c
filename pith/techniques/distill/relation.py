"""``distill.relation``."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pith.teaching import FeatureTeaching, check_some_weight


class DistillRelation(FeatureTeaching):
    """Train the model to set the samples of a batch in the same relations as the teacher does.

    Compared are the distances between the features of every two samples and the angles between those of every three.
    The features are what the last layer reads; where no single layer gives the first output, that output itself.
    """

    paper: ClassVar[str] = "Park, Kim, Lu and Cho 2019, arXiv 1904.05068 (RKD)"
    limits: ClassVar[str] = "Angles are taken among the first 64 samples of a batch."

    kind: Literal["distill.relation"] = "distill.relation"
    distance_weight: float = Field(25.0, ge=0, le=1e6, description="Weight of the distances.")
    angle_weight: float = Field(50.0, ge=0, le=1e6, description="Weight of the angles.")

    @model_validator(mode="after")
    def _learns(self) -> Self:
        check_some_weight(
            distance_weight=self.distance_weight,
            angle_weight=self.angle_weight,
            logits_weight=self.logits_weight,
            hard_label_weight=self.hard_label_weight,
        )
        return self

    def matched(self, classes: bool) -> str:
        return "relations among samples and " + super().matched(classes)
