"""``distill.relation``."""

from typing import ClassVar, Literal

from pydantic import Field

from pith.teaching import FeatureTeaching


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

    def matched(self, classes: bool) -> str:
        return "relations among samples and " + super().matched(classes)
