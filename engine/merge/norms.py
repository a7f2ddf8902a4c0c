"""Statistics of batch norms, estimated anew for weights that no data has run through yet.

The way of stochastic weight averaging (Izmailov et al. 2018, arXiv 1803.05407, section 3.2): one pass over the training
split, each statistic the plain mean over the batches. Everything else in the model is at rest meanwhile.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from engine.batches import Batches
from engine.context import Context
from engine.model import Model
from engine.randomness import generator

BATCH = 256
MOST_SAMPLES = 32_768


def settle_norms(model: Model, ctx: Context) -> None:
    """Estimate the statistics on the training split; without one they stay what they are, and a note says so."""
    norms = [
        module for module in model.graph.modules() if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
    if not norms:
        return
    split = ctx.dataset.train if ctx.dataset else None
    if split is None or len(split) < 2:
        ctx.note("Statistics of batch norms are averages, as there is no training split to estimate them on.")
        return
    batches = Batches(split, BATCH, model, ctx.device)
    order = generator(ctx.spec.seed, ctx.step)
    model.place(ctx.device, batches.layout).eval()
    estimate_norms(model, norms, (batch.inputs for batch in batches.epoch(order, 0)), MOST_SAMPLES // BATCH)
    model.at_rest()


@torch.no_grad()
def estimate_norms(model: Model, norms: list[_BatchNorm], batches: Iterable[tuple[Tensor, ...]], most: int) -> None:
    """Run the batches through; ``norms`` of the model are in training mode meanwhile."""
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.train().momentum = None
    for inputs, _ in zip(batches, range(most), strict=False):
        model.run(inputs)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.eval().momentum = momentum
