"""``quantize.static``."""

from typing import ClassVar, Literal

from pydantic import Field

from pith.base import Change, Need, Step
from pith.outlook import Given, Outlook, Refusal, count_weights, names, share


class QuantizeStatic(Step):
    """Weights and activations to 8 bits, with activation ranges from calibration data.

    The right choice for convolutional models.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"calibration_data"})
    changes: ClassVar[frozenset[Change]] = frozenset({"dtype"})
    paper: ClassVar[str] = "Jacob et al. 2018, arXiv 1712.05877; ONNX QuantizeLinear and DequantizeLinear"
    limits: ClassVar[str] = "Models with attention lose much quality; use quantize.dynamic there."

    kind: Literal["quantize.static"] = "quantize.static"
    bits: Literal[8] = Field(8, description="Bits of a weight and of an activation.")
    granularity: Literal["tensor", "channel"] = Field("channel", description="What shares one weight scale.")
    calibration: Literal["minmax", "percentile", "entropy"] = Field(
        "minmax", description="How activation ranges are chosen from the calibration data."
    )
    calibration_samples: int = Field(256, ge=1, le=100_000, description="Samples used for calibration.")
    reduce_range: Literal["auto", "on", "off"] = Field(
        "auto", description="7-bit weights; auto means on where the processor has no VNNI instructions."
    )

    def outlook(self, given: Given) -> Outlook:
        layers, used = given.weighted(), min(self.calibration_samples, given.samples or self.calibration_samples)
        reason = "the model has no convolution and no linear layer"
        return Outlook(
            does=f"Finds the ranges of activations with {used:,} samples ({self.calibration}), and stores "
            f"{count_weights(layers)} of {share(len(layers), len(layers), 'layers')} as {self.bits}-bit integers.",
            touched=names(layers),
            run=used,
            refusals=() if layers else (Refusal(reason=reason, way_out="leave this step out"),),
        )
