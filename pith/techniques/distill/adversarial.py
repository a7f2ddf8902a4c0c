"""``distill.adversarial``."""

from typing import ClassVar, Literal

from pydantic import Field

from pith.teaching import FeatureTeaching


class DistillAdversarial(FeatureTeaching):
    """Train the model so that a second, small network cannot tell its outputs from the teacher's.

    The discriminator sees the first output and, where labels are class numbers, the label; it is trained with the
    model, which learns from its reversed gradient, and thrown away.
    """

    paper: ClassVar[str] = (
        "Xu, Hsu and Huang 2017, arXiv 1709.00513; gradient reversal: Ganin and Lempitsky 2014, arXiv 1409.7495"
    )
    limits: ClassVar[str] = "The discriminator sees outputs alone, not the inputs they belong to."

    sees_softened: ClassVar[bool] = True

    kind: Literal["distill.adversarial"] = "distill.adversarial"
    weight: float = Field(0.1, gt=0, le=1e6, description="Weight of the discriminator's opinion in the loss.")
    hidden: int = Field(128, ge=1, le=4096, description="Width of the discriminator.")

    def matched(self, classes: bool) -> str:
        return "outputs, before a discriminator, and " + super().matched(classes)
