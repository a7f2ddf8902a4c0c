"""A layer whose weight is packed into bytes and unpacked whenever it runs. It computes in floating point."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.model import Weighted
from engine.quantize.lowbit.grid import Grid
from engine.quantize.lowbit.packing import pack, unpack

Packable = Weighted | nn.Embedding
_CONVOLUTIONS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv1d: functional.conv1d,
    nn.Conv2d: functional.conv2d,
    nn.Conv3d: functional.conv3d,
    nn.ConvTranspose1d: functional.conv_transpose1d,
    nn.ConvTranspose2d: functional.conv_transpose2d,
    nn.ConvTranspose3d: functional.conv_transpose3d,
}


@dataclass(frozen=True)
class LowBitWeight:
    """The levels of one layer's weight (uint8, in its own shape) and the grid that says what they mean."""

    grid: Grid
    levels: Tensor

    @property
    def bits(self) -> int:
        return self.grid.bits

    def real(self) -> Tensor:
        return self.grid.real(self.levels)

    @cached_property
    def packed(self) -> Tensor:
        """The bytes; the same tensor for all layers that share the weight."""
        return pack(self.levels.flatten(), self.bits)


class PackedLayer(nn.Module):
    """A convolution, linear layer or embedding; ``weight`` holds the bytes."""

    weight: Tensor
    weight_scale: Tensor
    weight_zero: Tensor
    bias: Tensor | None

    def __init__(self, layer: Packable, weight: LowBitWeight) -> None:
        super().__init__()
        self.bits, self.view, self.shape = weight.bits, weight.grid.view, tuple(weight.levels.shape)
        self.register_buffer("weight", weight.packed)
        self.register_buffer("weight_scale", weight.grid.scale.clone())
        self.register_buffer("weight_zero", weight.grid.zero.to(torch.uint8))
        bias = getattr(layer, "bias", None)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self.compute = function_of(layer)

    def integers(self) -> Tensor:
        """The levels with their zero points taken off, as int16 in the weight's shape."""
        levels = unpack(self.weight, self.bits, prod(self.shape)).reshape(self.view)
        return (levels.to(torch.int16) - self.weight_zero.to(torch.int16)).reshape(self.shape)

    def stored_weights(self) -> list[Tensor]:
        """What counts as parameters."""
        return [self.integers()] if self.bias is None else [self.integers(), self.bias]

    def forward(self, x: Tensor) -> Tensor:
        levels = unpack(self.weight, self.bits, prod(self.shape)).reshape(self.view)
        real = (levels.float() - self.weight_zero.float()) * self.weight_scale
        return self.compute(x, real.reshape(self.shape), self.bias)


def function_of(layer: Packable) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    """What the layer computes, as a function of input, weight and bias."""
    if isinstance(layer, nn.Linear):
        return functional.linear
    if isinstance(layer, nn.Embedding):
        return partial(_look_up, padding_idx=layer.padding_idx)
    places = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation, "groups": layer.groups}
    if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        places["output_padding"] = layer.output_padding
    return partial(_CONVOLUTIONS[type(layer)], **places)


def _look_up(x: Tensor, weight: Tensor, bias: None, padding_idx: int | None) -> Tensor:
    return functional.embedding(x, weight, padding_idx)
