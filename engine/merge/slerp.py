"""Spherical linear interpolation of weights, tensor by tensor (Shoemake 1985)."""

import torch
from torch import Tensor

from engine.context import Context
from engine.merge.weights import check_alike, merged, others
from engine.model import Model
from pith.techniques.merge.slerp import MergeSlerp

_STRAIGHT = 1e-6


def apply(model: Model, config: MergeSlerp, ctx: Context) -> Model:
    found = others(config, ctx)
    check_alike(model, found)
    shares = (1 - config.t, config.t)
    return merged([model, *found.values()], lambda name, values: slerp(values[0], values[1], config.t), shares, ctx)


def slerp(start: Tensor, end: Tensor, t: float) -> Tensor:
    """(sin((1 - t) θ) start + sin(t θ) end) / sin θ, θ being the angle between the two as vectors.

    Where that angle is 0 or π, or one of them is zero, the way is a straight line.
    """
    lengths = start.norm() * end.norm()
    cosine = (start * end).sum() / lengths if lengths > 0 else torch.ones(())
    angle = torch.arccos(cosine.clamp(-1, 1))
    sine = torch.sin(angle)
    if sine < _STRAIGHT:
        return (1 - t) * start + t * end
    return (torch.sin((1 - t) * angle) * start + torch.sin(t * angle) * end) / sine
