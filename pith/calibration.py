"""The options of finding ranges of activations, shared by every step that rounds them."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pith.base import Frozen
from pith.idle import refuse_idle


class CalibrationOptions(Frozen):
    """Which weights share a scale, and how the ranges of activations are chosen."""

    bits: Literal[8] = Field(8, description="Bits of a weight and of an activation.")
    granularity: Literal["tensor", "channel"] = Field("channel", description="What shares one weight scale.")
    calibration: Literal["minmax", "percentile", "mse", "entropy"] = Field(
        "mse",
        description="How activation ranges are chosen from the calibration data: all of it, without its extremes, by "
        "the least squared error, or by the least Kullback-Leibler divergence.",
    )
    percentile: float = Field(
        99.99, gt=50, le=100, description="With calibration percentile: how much of the data a range holds, in percent."
    )
    calibration_samples: int = Field(256, ge=1, le=100_000, description="Samples used for calibration.")
    reduce_range: Literal["auto", "on", "off"] = Field(
        "auto", description="7-bit weights; auto means on where the processor has no VNNI instructions."
    )

    @model_validator(mode="after")
    def _percentile(self) -> Self:
        if self.calibration != "percentile":
            refuse_idle(self, f"calibration is {self.calibration}", "set calibration to percentile", "percentile")
        return self

    def used(self, samples: int | None) -> int:
        """How many samples calibration takes of those that there are."""
        return min(self.calibration_samples, samples or self.calibration_samples)
