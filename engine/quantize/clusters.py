"""K-means in one dimension, from the starts of Deep Compression (Han, Mao and Dally 2015, arXiv 1510.00149, section
3.2), and with a price on rare clusters where one is wanted (Choi, El-Khamy and Lee 2016, arXiv 1612.01543)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

_ROUNDS = 100
_POINTS = 1 << 16


@dataclass(frozen=True)
class Clusters:
    """``count`` of them. ``rate_weight`` variances of the numbers are the price of one bit of a cluster's code."""

    count: int
    initialization: Literal["linear", "density", "random"]
    rate_weight: float
    chance: torch.Generator

    def of(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The centroids, what each costs, and for each number the index of its own.

        Centroids are looked for among at most 65,536 evenly spaced quantiles of the numbers. Without a price on rare
        ones, one that has no numbers goes to where the error is largest.
        """
        points = _quantiles(numbers.sort().values.double())
        price = self.rate_weight * float(points.var(correction=0))
        centroids = self._start(points)
        costs = torch.zeros_like(centroids)
        for _ in range(_ROUNDS):
            before = centroids
            chosen = nearest(points, centroids, costs)
            sizes = chosen.bincount(minlength=self.count)
            sums = torch.zeros_like(centroids).index_add_(0, chosen, points)
            centroids = torch.where(sizes > 0, sums / sizes.clamp_min(1), centroids)
            if price == 0:
                centroids = _without_idle(centroids, sizes, points, chosen)
            costs = -price * (sizes.clamp_min(1) / len(points)).log2()
            if torch.equal(centroids, before):
                break
        return centroids.float(), costs.float(), nearest(numbers.double(), centroids, costs)

    def _start(self, points: Tensor) -> Tensor:
        """From the least to the greatest, from quantile to quantile, or anywhere."""
        if self.initialization == "linear":
            return torch.linspace(float(points[0]), float(points[-1]), self.count, dtype=points.dtype)
        if self.initialization == "density":
            places = (torch.arange(self.count) + 0.5) * len(points) / self.count
            return points[places.long()]
        return points[torch.randint(len(points), (self.count,), generator=self.chance)].sort().values


def nearest(numbers: Tensor, centroids: Tensor, costs: Tensor) -> Tensor:
    """For each number the index of the centroid of the least squared distance and cost together."""
    if not costs.any():
        ordered = centroids.sort()
        return ordered.indices[torch.bucketize(numbers, (ordered.values[1:] + ordered.values[:-1]) / 2)]
    parts = torch.split(numbers, _POINTS)
    return torch.cat([((part[:, None] - centroids).square() + costs).argmin(1) for part in parts])


def _without_idle(centroids: Tensor, sizes: Tensor, points: Tensor, chosen: Tensor) -> Tensor:
    """Centroids that nothing is nearest to, which a gap between the weights always leaves, put to use."""
    idle = sizes == 0
    count = min(int(idle.sum()), len(points))
    if count == 0:
        return centroids
    worst = (points - centroids[chosen]).square().topk(count)
    useful = points[worst.indices[worst.values > 0]]
    moved = centroids.clone()
    moved[idle.nonzero().flatten()[: len(useful)]] = useful
    return moved


def in_float16(values: Tensor) -> Tensor:
    """The nearest numbers that float16 holds; those that are too large or too small for it stay."""
    rounded = values.half().float()
    return torch.where(rounded.isfinite() & (rounded != 0), rounded, values)


def _quantiles(points: Tensor) -> Tensor:
    if len(points) <= _POINTS:
        return points
    return points[torch.linspace(0, len(points) - 1, _POINTS, dtype=torch.float64).round().long()]
