"""N:M sparsity (Mishra et al. 2021, arXiv 2104.08378): of every M weights in a row along the input, N stay.

In convolutions a row is one place of the kernel over the input channels, as sparse tensor cores want it.
"""

import torch
from torch import Tensor

from engine.context import Context
from engine.model import Model, Weighted
from engine.prune.lowest import lowest
from engine.selected import selected
from engine.train import train
from pith.techniques.prune.nm import NONE_FITS_WAY_OUT, PruneNm, fits


def apply(model: Model, config: PruneNm, ctx: Context) -> Model:
    chosen = selected(model, config, ctx)
    layers = {name: layer for name, layer in chosen.items() if fits(_inputs(layer), config.m)}
    if not layers:
        raise ctx.inapplicable(config.none_fits(), NONE_FITS_WAY_OUT)
    for phase in ctx.phases(config.iterations):
        if not ctx.resuming:
            zeros = round((config.m - config.n) * (phase + 1) / config.iterations)
            for layer in layers.values():
                zero_in_groups(layer.weight, _input_dimension(layer), zeros, config.m)
        if config.recovery:
            train(model, ctx.training_data(labels=True), config.recovery, ctx.objective().loss, ctx)
    for name in chosen.keys() - layers.keys():
        ctx.note(f"{name} was left alone: {config.unfit(_inputs(chosen[name]))}.")
    return model


@torch.no_grad()
def zero_in_groups(weight: Tensor, dimension: int, zeros: int, size: int) -> None:
    """Set the ``zeros`` smallest of every ``size`` weights in a row along the dimension to zero, in place."""
    rows = weight.movedim(dimension, -1)
    gone = lowest(rows.abs().reshape(-1, size), zeros)
    weight.masked_fill_(gone.view(rows.shape).movedim(-1, dimension), 0.0)


def _inputs(layer: Weighted) -> int:
    return layer.weight.shape[_input_dimension(layer)]


def _input_dimension(layer: Weighted) -> int:
    return 0 if "Transpose" in type(layer).__name__ else 1
