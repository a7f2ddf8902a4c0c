"""The options of finding ranges of activations, shared by every step that rounds them."""

from typing import Literal

from pydantic import Field

from pith.base import Frozen


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

    def used(self, samples: int | None) -> int:
        """How many samples calibration takes of those that there are."""
        return min(self.calibration_samples, samples or self.calibration_samples)
