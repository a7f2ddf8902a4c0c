"""``quantize.static``."""

from typing import ClassVar, Literal

from pydantic import Field

from pith.base import Change, Need, Step
from pith.calibration import CalibrationOptions
from pith.outlook import Given, Outlook, Refusal, count_weights, names, share

_OF_ONNX = "A model that came as ONNX is neither equalized nor corrected; the source model as .pt2 is."


class QuantizeStatic(Step, CalibrationOptions):
    """Weights and activations to 8 bits, with activation ranges from calibration data.

    The right choice for convolutional models.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"calibration_data"})
    changes: ClassVar[frozenset[Change]] = frozenset({"dtype"})
    paper: ClassVar[str] = "Jacob et al. 2018, arXiv 1712.05877; Nagel et al. 2019, arXiv 1906.04721"
    limits: ClassVar[str] = (
        "With attention, only the inputs of layers are rounded; compare quantize.dynamic. Models that came as ONNX are "
        "calibrated, and neither equalized nor corrected."
    )

    kind: Literal["quantize.static"] = "quantize.static"
    equalize: bool = Field(True, description="Share out ranges of weights across layers first.")
    bias_correction: bool = Field(True, description="Take back what rounding adds to the mean of each channel.")

    def outlook(self, given: Given) -> Outlook:
        layers, used = given.weighted(), self.used(given.samples)
        reason = "the model has no convolution and no linear layer"
        return Outlook(
            does=f"Finds the ranges of activations with {used:,} samples ({self.calibration}), and stores "
            f"{count_weights(layers)} of {share(len(layers), len(layers), 'layers')} as {self.bits}-bit integers.",
            touched=names(layers),
            run=used,
            notes=(_OF_ONNX,) if not given.model.trainable and (self.equalize or self.bias_correction) else (),
            refusals=() if layers else (Refusal(reason=reason, way_out="leave this step out"),),
        )
