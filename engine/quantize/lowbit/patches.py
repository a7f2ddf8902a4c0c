"""What a layer multiplies its weight with, as second moments: the whole of a squared error needs no more.

For a row w of the weight and its inputs x in the float model, x' in the rounded one, the error of a rounded row w' is
E(w'x' - wx)^2 = w' D w'^T - 2 w' c + const with D = E x'x'^T and c = (E x'x^T) w^T.
"""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from engine.model import Weighted
from engine.quantize.lowbit.grid import as_rows, channel_axis
from engine.quantize.lowbit.layer import function_of

_CHUNK = 1 << 23


@dataclass(frozen=True)
class Moments:
    """Of one layer. ``second`` is D, one matrix a group of channels (groups, k, k); ``cross`` is E x'x^T alike."""

    second: Tensor
    cross: Tensor

    def error(self, rows: Tensor, rounded: Tensor) -> Tensor:
        """The squared error of each output channel but for a constant; both are (channels, k)."""
        wanted, given = self._split(rows), self._split(rounded)
        return ((given @ self.second - 2 * wanted @ self.cross.mT) * given).sum(-1).flatten()

    def linear(self, rows: Tensor) -> Tensor:
        """c of every row."""
        return (self._split(rows) @ self.cross.mT).flatten(0, 1)

    def times(self, rounded: Tensor) -> Tensor:
        """w'D of every row."""
        return (self._split(rounded) @ self.second).flatten(0, 1)

    def diagonal(self) -> Tensor:
        """How much each input matters: (groups, k)."""
        return self.second.diagonal(dim1=1, dim2=2)

    def _split(self, rows: Tensor) -> Tensor:
        return rows.reshape(len(self.second), -1, rows.shape[1])


def moments(layer: Weighted, float_inputs: Tensor, rounded_inputs: Tensor) -> Moments:
    """Over all samples and all places that the layer looks at."""
    groups = getattr(layer, "groups", 1)
    size = as_rows(layer.weight.detach(), channel_axis(layer)).shape[1]
    second, cross = torch.zeros(groups, size, size), torch.zeros(groups, size, size)
    count, step = 0, _samples_at_once(layer, rounded_inputs, size * groups)
    for mine, theirs in zip(torch.split(rounded_inputs, step), torch.split(float_inputs, step), strict=True):
        seen = patches(layer, mine)
        second += seen @ seen.mT
        cross += seen @ (seen if mine is theirs else patches(layer, theirs)).mT
        count += seen.shape[-1]
    return Moments(second / count, cross / count)


def patches(layer: Weighted, x: Tensor) -> Tensor:
    """(groups, k, places): what each weight of a row is multiplied with, bias left out.

    A convolution whose weight is a unit matrix gives just that, whatever its stride, padding and dilation.
    """
    if isinstance(layer, nn.Linear):
        return x.reshape(-1, x.shape[-1]).T.unsqueeze(0)
    parts = [_of_group(layer, part) for part in x.chunk(layer.groups, 1)]
    return torch.stack(parts)


def _of_group(layer: Weighted, x: Tensor) -> Tensor:
    assert not isinstance(layer, nn.Linear)
    channels, kernel = x.shape[1], tuple(layer.kernel_size)
    size = channels * prod(kernel)
    unit = torch.eye(size).reshape(size, channels, *kernel)
    if channel_axis(layer) == 1:
        unit = unit.transpose(0, 1).contiguous()
    compute = function_of(layer)
    compute.keywords["groups"] = 1  # type: ignore[attr-defined]
    return compute(x, unit, None).transpose(0, 1).flatten(1)


def _samples_at_once(layer: Weighted, x: Tensor, size: int) -> int:
    places = x[:1].numel() // x.shape[-1] if isinstance(layer, nn.Linear) else prod(x.shape[2:])
    return max(1, _CHUNK // max(1, size * places))
