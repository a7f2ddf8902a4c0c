"""From a student's features to the form of the teacher's: places pooled or interpolated, then channels mapped."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from pith.places import Pairs, Place

_POOLS: dict[int, Callable[..., Tensor]] = {
    1: functional.adaptive_avg_pool1d,
    2: functional.adaptive_avg_pool2d,
    3: functional.adaptive_avg_pool3d,
}


class Adapter(nn.Module):
    """One linear map of channels at every place, (batch, channels, …) in and out. Trained with the student."""

    def __init__(self, channels: int, wanted: int) -> None:
        super().__init__()
        self.map = nn.Linear(channels, wanted)

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.map(features.movedim(1, -1)).movedim(-1, 1)
        return found


def adapters(pairs: Pairs) -> nn.ModuleList:
    """One for each pair."""
    return nn.ModuleList(Adapter(_channels(mine), _channels(theirs)) for mine, theirs in pairs)


def _channels(place: Place) -> int:
    count = place.shape[place.channels]
    assert count is not None, f"{place.name} has no fixed number of channels"
    return count


def alike(mine: Tensor, theirs: Tensor, pair: tuple[Place, Place]) -> tuple[Tensor, Tensor]:
    """Both as (batch, channels, …) with the same sizes behind the channels: the student's are brought to the teacher's,
    and both to their means where one has pictures and the other tokens or vectors."""
    one, other = arranged(mine, pair[0]), arranged(theirs, pair[1])
    if one.ndim != other.ndim:
        return one.flatten(2).mean(2) if one.ndim > 2 else one, other.flatten(2).mean(2) if other.ndim > 2 else other
    return resized(one, other.shape[2:]), other


def arranged(features: Tensor, place: Place) -> Tensor:
    """(batch, channels, …)."""
    return features.movedim(place.channels, 1)


def resized(features: Tensor, sizes: torch.Size) -> Tensor:
    """Places averaged where there are more of them than wanted, interpolated where there are fewer."""
    if features.shape[2:] == sizes or not sizes:
        return features
    if all(have >= want for have, want in zip(features.shape[2:], sizes, strict=True)):
        return _POOLS[len(sizes)](features, sizes)
    mode = ("linear", "bilinear", "trilinear")[len(sizes) - 1]
    return functional.interpolate(features.float(), list(sizes), mode=mode, align_corners=False)
