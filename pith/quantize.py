"""The quantize family: store and compute in fewer bits."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pith.base import Change, Need, Step


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


Quantize = Annotated[QuantizeDynamic | QuantizeStatic, Field(discriminator="kind")]
