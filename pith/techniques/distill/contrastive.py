"""``distill.contrastive``."""

from typing import ClassVar, Literal

from pydantic import Field

from pith.teaching import FeatureTeaching


class DistillContrastive(FeatureTeaching):
    """Train the model's features to tell the teacher's features of the same sample from those of other samples.

    Both are mapped to embeddings of the same length by layers that are trained with the model and thrown away; what
    other samples' embeddings were when they were last met is remembered. Where labels are class numbers, samples of
    the same class are no others.
    """

    paper: ClassVar[str] = "Tian, Krishnan and Isola 2019, arXiv 1910.10699 (CRD)"
    limits: ClassVar[str] = (
        "The samples of a batch share the others that are drawn; two embeddings of every training sample are held in "
        "memory and in checkpoints."
    )

    kind: Literal["distill.contrastive"] = "distill.contrastive"
    weight: float = Field(0.8, gt=0, le=1e6, description="Weight of the contrast in the loss.")
    dimension: int = Field(128, ge=2, le=2048, description="Length of an embedding.")
    others: int = Field(4096, ge=1, le=65536, description="Other samples drawn for each batch; at most all there are.")
    contrast_temperature: float = Field(0.07, gt=0, le=10, description="Divisor of the products of embeddings.")
    momentum: float = Field(0.5, ge=0, lt=1, description="How much of a remembered embedding stays when it is renewed.")

    def matched(self, classes: bool) -> str:
        return "features, against those of other samples, and " + super().matched(classes)
