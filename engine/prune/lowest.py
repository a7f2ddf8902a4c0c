"""Setting weights to zero by their scores: exactly so many, and the lowest."""

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def zero_lowest(weights: Sequence[Tensor], scores: Sequence[Tensor], sparsity: float) -> None:
    """Set the ``sparsity`` part of all these weights that scores lowest to zero, in place; of equals the first go."""
    every = torch.cat([score.flatten() for score in scores])
    gone = lowest(every, round(sparsity * every.numel()))
    for weight, chosen in zip(weights, torch.split(gone, [weight.numel() for weight in weights]), strict=True):
        weight.masked_fill_(chosen.view_as(weight), 0.0)


def lowest(scores: Tensor, count: int) -> Tensor:
    """Which ``count`` of these scores, along the last dimension, are the lowest; of equals the first."""
    if count == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    limit = scores.kthvalue(count, dim=-1, keepdim=True).values
    below, equal = scores < limit, scores == limit
    return below | (equal & (equal.cumsum(-1) <= count - below.sum(-1, keepdim=True)))


def lamp(weight: Tensor) -> Tensor:
    """w² / Σ v² over the weights v of the layer that are no smaller (Lee et al. 2020, arXiv 2010.07611, equation 4)."""
    squares = weight.square().flatten().double()
    order = squares.argsort(descending=True, stable=True)
    found = torch.empty_like(squares)
    found[order] = squares[order] / squares[order].cumsum(0)
    return found.nan_to_num().view_as(weight)
