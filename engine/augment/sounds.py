"""Changes to sounds: waveforms of shape (batch, …, samples) and spectrograms of shape (batch, …, mels, frames)."""

import math

import torch
from torch import Tensor

from engine.data.sounds import FLOOR
from pith.augmentation import Noise, SpecAugment
from pith.dataset import FittedPreprocessing


def silence(fitted: FittedPreprocessing | None) -> float:
    """What silence is in the model's input: 0 in a waveform, the least logarithm in a spectrogram."""
    how = fitted.preprocessing if fitted else None
    return math.log(FLOOR) if how is not None and how.kind == "audio" and how.features == "mel" else 0.0


def noise(x: Tensor, step: Noise) -> Tensor:
    drawn = torch.randn(x.shape).to(x)
    if step.std is not None:
        return x + step.std * drawn
    assert step.snr_db is not None
    low, high = step.snr_db
    ratio = low + (high - low) * torch.rand(len(x), *[1] * (x.ndim - 1)).to(x)
    power = x.square().mean(tuple(range(1, x.ndim)), keepdim=True)
    return x + drawn * (power * 10 ** (-ratio / 10)).sqrt()


def time_shift(x: Tensor, fraction: float, fill: float) -> Tensor:
    most = max(1, int(x.shape[-1] * fraction))
    shifts = torch.randint(-most, most + 1, (len(x),)).to(x.device)
    places = torch.arange(x.shape[-1], device=x.device) - shifts.view(-1, *[1] * (x.ndim - 1))
    inside = (places >= 0) & (places < x.shape[-1])
    moved = x.gather(-1, places.clamp(0, x.shape[-1] - 1).expand(x.shape))
    return torch.where(inside, moved, torch.full((), fill).to(x))


def spec_augment(x: Tensor, step: SpecAugment) -> Tensor:
    """Masks hold the sample's mean."""
    mean = x.mean(tuple(range(1, x.ndim)), keepdim=True)
    for axis, count, width in ((-2, step.mel_masks, step.mel_width), (-1, step.time_masks, step.time_width)):
        for _ in range(count):
            x = torch.where(_stripe(x, axis, min(width, x.shape[axis])), mean, x)
    return x


def _stripe(x: Tensor, axis: int, most: int) -> Tensor:
    """For each sample a stretch of 0 to ``most`` places along the axis."""
    size = x.shape[axis]
    widths = torch.randint(0, most + 1, (len(x), 1))
    starts = (torch.rand(len(x), 1) * (size - widths + 1)).long()
    places = torch.arange(size)
    stripe = (places >= starts) & (places < starts + widths)
    shape = [len(x)] + [1] * (x.ndim - 1)
    shape[axis] = size
    return stripe.view(shape).to(x.device)
