"""Where the levels of a weight lie: a scale and a zero point for each channel or group, with the least squared error.

Zero is always a level, so that a pruned weight stays sparse.
"""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

# Groups that are searched together: few enough numbers to stay in a processor's cache.
_CHUNK = 1 << 18
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Grid:
    """``real = (level - zero) * scale``, levels being 0 to 2^bits - 1.

    ``view`` is the weight's shape with groups as a dimension of their own; scale and zero broadcast over it.
    """

    bits: int
    view: tuple[int, ...]
    scale: Tensor
    zero: Tensor

    @property
    def top(self) -> int:
        return (1 << self.bits) - 1

    def position(self, weight: Tensor) -> Tensor:
        """Where the weight lies among the levels, before any rounding; in the weight's own shape."""
        return (weight.reshape(self.view) / self.scale + self.zero).reshape(weight.shape)

    def nearest(self, weight: Tensor) -> Tensor:
        """The level next to each weight, as uint8 in the weight's own shape."""
        return self.position(weight).round().clamp(0, self.top).to(torch.uint8)

    def real(self, levels: Tensor) -> Tensor:
        return ((levels.reshape(self.view).float() - self.zero) * self.scale).reshape(levels.shape)


def channel_axis(layer: nn.Module) -> int:
    """Which dimension of a layer's weight counts output channels."""
    return 1 if isinstance(layer, _TRANSPOSED) else 0


def as_rows(weight: Tensor, axis: int = 0) -> Tensor:
    """One row for each output channel."""
    return weight.transpose(0, axis).flatten(1)


def search(weight: Tensor, bits: int, axis: int = 0, group_size: int | None = None) -> Grid:
    """The grid with the least squared error over steps of the range and over zero points.

    A group is ``group_size`` neighbours in a row of a matrix; without a size it is the whole channel.
    """
    if group_size is None:
        view, rows = tuple(weight.shape), as_rows(weight, axis)
        shape = [1] * weight.ndim
        shape[axis] = len(rows)
    else:
        view = (weight.shape[0], prod(weight.shape[1:]) // group_size, group_size)
        rows, shape = weight.reshape(-1, group_size), [*view[:2], 1]
    step = max(1, _CHUNK // rows.shape[1])
    found = [_search_rows(rows[start : start + step], bits) for start in range(0, len(rows), step)]
    scale, zero = (torch.cat(parts).reshape(shape) for parts in zip(*found, strict=True))
    return Grid(bits, view, scale, zero)


def _search_rows(rows: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    top = (1 << bits) - 1
    low, high = rows.amin(1).clamp(max=0), rows.amax(1).clamp(min=0)
    full = (high - low) / top
    full = torch.where(full > torch.finfo(torch.float32).tiny, full, torch.ones_like(full))
    middle = (-low / full).round()
    best, scale, zero = torch.full_like(full, torch.inf), full.clone(), middle.clone()
    for share in _shares(bits):
        for offset in (0, -1, 1, -2, 2) if bits <= 4 else (0, -1, 1):
            tried_scale, tried_zero = full * share, (middle + offset).clamp(0, top)
            error = _error(rows, tried_scale[:, None], tried_zero[:, None], top)
            better = error < best
            best = torch.where(better, error, best)
            scale, zero = torch.where(better, tried_scale, scale), torch.where(better, tried_zero, zero)
    return scale, zero


def _shares(bits: int) -> list[float]:
    """Steps as parts of the one that clips nothing; the fewer levels, the more is worth clipping."""
    smallest = {2: 0.2, 3: 0.35, 4: 0.5}.get(bits, 0.7)
    count = 32 if bits <= 4 else 12
    return torch.linspace(1, smallest, count).tolist()


def _error(rows: Tensor, scale: Tensor, zero: Tensor, top: int) -> Tensor:
    levels = (rows / scale).round_().add_(zero).clamp_(0, top)
    return levels.sub_(zero).mul_(scale).sub_(rows).square_().sum(1)
