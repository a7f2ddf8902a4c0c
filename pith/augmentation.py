"""Augmentation: random changes to training batches. All of it data; what does not fit the samples is refused."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pith.base import Frozen

Probability = Annotated[float, Field(ge=0, le=1)]


class Flip(Frozen):
    """Mirror pictures."""

    kind: Literal["flip"] = "flip"
    horizontal: Probability = 0.5
    vertical: Probability = 0.0


class Crop(Frozen):
    """Pad pictures on all sides and cut out a window of their own size at random."""

    kind: Literal["crop"] = "crop"
    padding: int = Field(4, ge=1, le=512, description="Pixels on each side.")


class ColorJitter(Frozen):
    """Change brightness, contrast, saturation and hue, each by a random share up to the one named."""

    kind: Literal["color_jitter"] = "color_jitter"
    brightness: float = Field(0.2, ge=0, le=1)
    contrast: float = Field(0.2, ge=0, le=1)
    saturation: float = Field(0.2, ge=0, le=1)
    hue: float = Field(0.0, ge=0, le=0.5)


class RandAugment(Frozen):
    """Random operations of one strength on pictures (Cubuk et al. 2019, arXiv 1909.13719)."""

    kind: Literal["rand_augment"] = "rand_augment"
    operations: int = Field(2, ge=1, le=8, description="On each picture.")
    magnitude: int = Field(9, ge=0, le=30)


class Mixup(Frozen):
    """Blend pairs of samples and their labels (Zhang et al. 2017, arXiv 1710.09412)."""

    kind: Literal["mixup"] = "mixup"
    alpha: float = Field(0.2, gt=0, le=10, description="Of the beta distribution of the share.")


class Cutmix(Frozen):
    """Paste a box of another picture, and mix the labels by its area (Yun et al. 2019, arXiv 1905.04899)."""

    kind: Literal["cutmix"] = "cutmix"
    alpha: float = Field(1.0, gt=0, le=10, description="Of the beta distribution of the area.")


class Noise(Frozen):
    """Add Gaussian noise of one deviation, or at a random signal-to-noise ratio."""

    kind: Literal["noise"] = "noise"
    std: float | None = Field(None, gt=0, le=100, description="In units of the model's input.")
    snr_db: tuple[float, float] | None = Field(None, description="Least and greatest ratio, in decibels.")

    @model_validator(mode="after")
    def _one_of_both(self) -> "Noise":
        if (self.std is None) == (self.snr_db is None):
            raise ValueError("name either std or snr_db")
        if self.snr_db is not None and not -50 <= self.snr_db[0] <= self.snr_db[1] <= 100:
            raise ValueError("snr_db goes from a lower to a higher number, between -50 and 100")
        return self


class TimeShift(Frozen):
    """Move sounds earlier or later; silence comes in."""

    kind: Literal["time_shift"] = "time_shift"
    fraction: float = Field(0.1, gt=0, le=1, description="Of the duration, at most.")


class SpecAugment(Frozen):
    """Blank bands of frequency and stretches of time in spectrograms (Park et al. 2019, arXiv 1904.08779)."""

    kind: Literal["spec_augment"] = "spec_augment"
    mel_masks: int = Field(1, ge=0, le=10)
    mel_width: int = Field(8, ge=1, le=512, description="Most bands that a mask blanks.")
    time_masks: int = Field(1, ge=0, le=10)
    time_width: int = Field(16, ge=1, le=10_000, description="Most frames that a mask blanks.")


class TokenDropout(Frozen):
    """Replace tokens by the unknown or mask token (Iyyer et al. 2015, word dropout); padding and marks stay."""

    kind: Literal["token_dropout"] = "token_dropout"
    probability: float = Field(0.1, gt=0, lt=1)


Augmentation = Annotated[
    Flip | Crop | ColorJitter | RandAugment | Mixup | Cutmix | Noise | TimeShift | SpecAugment | TokenDropout,
    Field(discriminator="kind"),
]
