"""Changes to pictures of shape (batch, channels, height, width)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import v2

from pith.augmentation import ColorJitter, RandAugment


def flip(x: Tensor, horizontal: float, vertical: float) -> Tensor:
    for chance, axis in ((horizontal, -1), (vertical, -2)):
        if chance:
            chosen = (torch.rand(len(x)) < chance).to(x.device).view(-1, 1, 1, 1)
            x = torch.where(chosen, x.flip(axis), x)
    return x


def crop(x: Tensor, padding: int, fill: Tensor) -> Tensor:
    """A window of the same size out of the padded picture; ``fill`` is of shape (channels, 1, 1)."""
    batch, channels, height, width = x.shape
    wide = fill.to(x).expand(batch, channels, height + 2 * padding, width + 2 * padding).clone()
    wide[:, :, padding : padding + height, padding : padding + width] = x
    corners = torch.randint(0, 2 * padding + 1, (2, batch, 1)).to(x.device)
    rows = corners[0] + torch.arange(height, device=x.device)
    columns = corners[1] + torch.arange(width, device=x.device)
    every = torch.arange(batch, device=x.device).view(-1, 1, 1)
    return wide.permute(0, 2, 3, 1)[every, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def color_jitter(x: Tensor, step: ColorJitter, mean: Tensor, std: Tensor) -> Tensor:
    hue = step.hue if x.shape[1] == 3 else 0.0
    change = v2.ColorJitter(step.brightness, step.contrast, step.saturation, hue)
    return _each(x, change, mean, std)


def rand_augment(x: Tensor, step: RandAugment, mean: Tensor, std: Tensor) -> Tensor:
    change = v2.RandAugment(step.operations, step.magnitude)

    def on_bytes(picture: Tensor) -> Tensor:
        changed: Tensor = change((picture * 255).round().to(torch.uint8))
        return changed.to(picture.dtype) / 255

    return _each(x, on_bytes, mean, std)


def _each(x: Tensor, change: Callable[[Tensor], Tensor], mean: Tensor, std: Tensor) -> Tensor:
    """``change`` sees one picture at a time, with values of 0 to 1."""
    mean, std = mean.to(x), std.to(x)
    shown = (x * std + mean).clamp(0, 1)
    return (torch.stack([change(picture) for picture in shown]) - mean) / std
