"""``quantize.qat``."""

from typing import ClassVar, Literal

from pydantic import Field

from pith.base import Change, Need, Step
from pith.calibration import CalibrationOptions
from pith.outlook import Given, Outlook, Refusal, count_weights, names, share
from pith.training import TrainingOptions


class QuantizeQat(Step, CalibrationOptions, TrainingOptions):
    """Weights and activations to 8 bits, after training the model while it rounds.

    For models that lose quality in quantize.static: small and narrow ones, and those with depthwise convolutions.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"training_data", "labels"})
    changes: ClassVar[frozenset[Change]] = frozenset({"values", "dtype"})
    paper: ClassVar[str] = "Jacob et al. 2018, arXiv 1712.05877; Esser et al. 2020, arXiv 1902.08153 (learned scales)"
    limits: ClassVar[str] = (
        "Batch norms are folded before training; with attention, only the inputs of layers are rounded."
    )

    kind: Literal["quantize.qat"] = "quantize.qat"
    learning_rate: float = Field(1e-4, gt=0, le=10, description="Peak learning rate.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Mass moved from the label to all classes; refused for tasks without classes."
    )

    def outlook(self, given: Given) -> Outlook:
        layers = given.weighted()
        return Outlook(
            does=f"Trains for {self.foreseen(given.samples)} while {count_weights(layers)} of "
            f"{share(len(layers), len(layers), 'layers')} and the activations between them are rounded to "
            f"{self.bits} bits, and stores the integers.",
            touched=names(layers),
            trained=self.epochs * (given.samples or 0),
            run=self.used(given.samples),
            batch=self.together(given.samples),
            refusals=tuple(self._refusals(given)),
        )

    def _refusals(self, given: Given) -> list[Refusal]:
        found = []
        if not given.weighted():
            reason = "the model has no convolution and no linear layer"
            found.append(Refusal(reason=reason, way_out="leave this step out"))
        if self.label_smoothing and not given.classes:
            reason = "label_smoothing is for classes, which this task has not"
            found.append(Refusal(reason=reason, way_out="leave it out", field="label_smoothing"))
        return found
