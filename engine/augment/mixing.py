"""Pairs of samples made into one, with their labels as shares of the classes."""

import torch
from torch import Tensor
from torch.nn import functional

Batch = tuple[tuple[Tensor, ...], Tensor | None]


def mixup(inputs: tuple[Tensor, ...], labels: Tensor | None, alpha: float, classes: int) -> Batch:
    """λ · a + (1 - λ) · b with λ ~ Beta(alpha, alpha), one for the batch."""
    share = _share(alpha)
    other = torch.randperm(len(inputs[0]))
    mixed = tuple(
        share * each + (1 - share) * each[other.to(each.device)] if each.is_floating_point() else each
        for each in inputs
    )
    return mixed, _mixed(labels, other, share, classes)


def cutmix(inputs: tuple[Tensor, ...], labels: Tensor | None, alpha: float, classes: int) -> Batch:
    """A box of area 1 - λ, anywhere, is taken from another sample; λ is then what is left of the first one."""
    first, share = inputs[0], _share(alpha)
    other = torch.randperm(len(first))
    height, width = first.shape[-2:]
    side = (1 - share) ** 0.5
    top, bottom = _span(height, side)
    left, right = _span(width, side)
    first = first.clone()
    first[..., top:bottom, left:right] = inputs[0][other.to(first.device)][..., top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return (first, *inputs[1:]), _mixed(labels, other, kept, classes)


def _share(alpha: float) -> float:
    return float(torch.distributions.Beta(alpha, alpha).sample())


def _span(size: int, part: float) -> tuple[int, int]:
    half = int(size * part / 2)
    centre = int(torch.randint(0, size, ()))
    return max(0, centre - half), min(size, centre + half)


def _mixed(labels: Tensor | None, other: Tensor, share: float, classes: int) -> Tensor | None:
    if labels is None:
        return None
    shares = labels.float() if labels.is_floating_point() else functional.one_hot(labels, classes).float()
    return share * shares + (1 - share) * shares[other.to(shares.device)]
