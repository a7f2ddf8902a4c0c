"""The features that the last layer reads, one vector a sample; where no single layer gives the first output, that."""

import torch
from torch import Tensor

from engine.model import Model
from engine.taps import Tap, before_head, tapped


def summit(model: Model) -> tuple[Tap, ...]:
    """The tap, or nothing for the first output itself."""
    tap = before_head(model)
    return () if tap is None else (tap,)


def vector(features: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """(batch, numbers), of tokens and pictures the means."""
    found = (features[0] if features else output).float()
    if found.ndim == 3:
        return found.mean(1)
    return found.flatten(2).mean(2) if found.ndim > 3 else found.reshape(len(found), -1)


@torch.no_grad()
def length(model: Model, taps: tuple[Tap, ...]) -> int:
    """Of such a vector."""
    model.at_rest()
    found = tapped(model, taps)(*model.signature.tensors(2))
    return vector(found[len(found) - len(taps) :], found[0]).shape[1]
