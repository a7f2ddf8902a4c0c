"""Unstructured pruning by magnitude (Han, Pool, Tran and Dally 2015, arXiv 1506.02626).

The smallest weights of convolutions and linear layers become zero; the training loop keeps them so.
"""

import torch
from torch import Tensor

from engine.context import Context
from engine.model import Model
from engine.train import train
from pith.techniques.prune.magnitude import PruneMagnitude


def apply(model: Model, config: PruneMagnitude, ctx: Context) -> Model:
    weights = [module.weight for _, module in model.layers()]
    if not weights:
        raise ctx.inapplicable("the model has no convolution and no linear layer", "leave this step out")
    for phase in ctx.phases(config.iterations):
        if not ctx.resuming:
            sparsity = config.sparsity * (phase + 1) / config.iterations
            for group in [weights] if config.scope == "global" else [[weight] for weight in weights]:
                zero_smallest(group, sparsity)
        if config.recovery:
            train(model, ctx.training_data(labels=True), config.recovery, ctx.objective().loss, ctx)
    zeros = sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)
    ctx.note(f"{zeros:.1%} of these weights are zero; file and latency stay as they are until something uses that.")
    return model


@torch.no_grad()
def zero_smallest(weights: list[Tensor], sparsity: float) -> None:
    """Set the ``sparsity`` part of all these weights that is smallest in magnitude to zero, in place."""
    sizes = torch.cat([weight.abs().flatten() for weight in weights])
    count = round(sparsity * sizes.numel())
    zeros = torch.zeros_like(sizes, dtype=torch.bool)
    zeros[sizes.argsort(stable=True)[:count]] = True
    for weight, chosen in zip(weights, torch.split(zeros, [weight.numel() for weight in weights]), strict=True):
        weight.masked_fill_(chosen.view_as(weight), 0.0)
