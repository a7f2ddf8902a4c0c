"""``distill.hint``."""

from typing import ClassVar, Literal

from pydantic import Field

from pith.teaching import HintTeaching


class DistillHint(HintTeaching):
    """Train the model's inner features to be those of the teacher, through adapters that are trained with it.

    An adapter maps channels with one matrix at every place, after places were pooled or interpolated to the teacher's
    sizes; features are compared by the mean squared error, in units of the teacher's own. The adapters are thrown
    away afterwards.
    """

    paper: ClassVar[str] = "Romero, Ballas, Kahou, Chassang, Gatta and Bengio 2014, arXiv 1412.6550 (FitNets)"
    limits: ClassVar[str] = (
        "Hints are learnt together with the outputs, not in a stage of their own before; features of pictures and of "
        "tokens are compared by their means alone."
    )

    kind: Literal["distill.hint"] = "distill.hint"
    weight: float = Field(1.0, gt=0, le=1e6, description="Weight of the hints in the loss.")

    def matched(self, classes: bool) -> str:
        return "features and " + super().matched(classes)
