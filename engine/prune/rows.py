"""A layer's weight as a matrix with a row for each output, which transposed convolutions do not store it as."""

from torch import Tensor, nn

from engine.model import Weighted

_TRANSPOSED = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d


def to_rows(layer: Weighted, values: Tensor) -> Tensor:
    """Values of the weight's shape, as (outputs, weights of an output)."""
    if not isinstance(layer, _TRANSPOSED):
        return values.flatten(1)
    inputs, outputs = values.shape[:2]
    parts = values.reshape(layer.groups, inputs // layer.groups, outputs, -1)
    return parts.transpose(1, 2).reshape(layer.groups * outputs, -1)


def from_rows(layer: Weighted, rows: Tensor) -> Tensor:
    """The same in the weight's own shape."""
    if not isinstance(layer, _TRANSPOSED):
        return rows.view(layer.weight.shape)
    inputs, outputs = layer.weight.shape[:2]
    parts = rows.view(layer.groups, outputs, inputs // layer.groups, -1)
    return parts.transpose(1, 2).reshape(layer.weight.shape)
