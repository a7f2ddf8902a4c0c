"""The quantize family: store and compute in fewer bits."""

from math import prod
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pith.base import Change, Need, Step
from pith.facts import LayerFacts
from pith.outlook import Given, Outlook, Refusal, names, share


class QuantizeDynamic(Step):
    """Weights of linear layers to 8 bits; activation ranges are found while the model runs.

    The right choice for transformers. Convolutions stay in floating point: dynamic ones run slower.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"dtype"})
    paper: ClassVar[str] = "ONNX operators DynamicQuantizeLinear and MatMulInteger, opset 11"
    limits: ClassVar[str] = "Linear layers only."

    kind: Literal["quantize.dynamic"] = "quantize.dynamic"
    bits: Literal[8] = Field(8, description="Bits of a weight.")
    granularity: Literal["tensor", "channel"] = Field("channel", description="What shares one weight scale.")

    def outlook(self, given: Given) -> Outlook:
        layers = given.weighted()
        linear = tuple(layer for layer in layers if layer.kind == "Linear")
        way_out = "use quantize.static, which takes convolutions too"
        return Outlook(
            does=f"Stores {_weights(linear)} of {share(len(linear), len(layers), 'layers')} as {self.bits}-bit "
            "integers.",
            touched=names(linear),
            left_alone={layer.name: "a convolution" for layer in layers if layer.kind != "Linear"},
            refusals=() if linear else (Refusal(reason="the model has no linear layer", way_out=way_out),),
        )


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
            f"{_weights(layers)} of {share(len(layers), len(layers), 'layers')} as {self.bits}-bit integers.",
            touched=names(layers),
            run=used,
            refusals=() if layers else (Refusal(reason=reason, way_out="leave this step out"),),
        )


def _weights(layers: tuple[LayerFacts, ...]) -> str:
    return f"{sum(prod(layer.shape) for layer in layers):,} weights"


Quantize = Annotated[QuantizeDynamic | QuantizeStatic, Field(discriminator="kind")]
