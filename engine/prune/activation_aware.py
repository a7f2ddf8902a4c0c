"""Pruning by weights and activations (Wanda: Sun, Liu, Bair and Kolter 2023, arXiv 2306.11695).

A weight's score is its magnitude times the Euclidean norm, over all calibration data, of the input that it meets. Each
output loses the same part of its weights. Layers are pruned as the data reaches them, so that a layer is scored on what
the pruned layers before it give.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from engine.context import Context
from engine.model import Model, Weighted
from engine.prune.lowest import lowest
from engine.prune.rows import from_rows, to_rows
from engine.randomness import generator
from engine.selected import selected
from pith.techniques.prune.activation_aware import PruneActivationAware


def apply(model: Model, config: PruneActivationAware, ctx: Context) -> Model:
    layers = selected(model, config, ctx)
    unseen = dict(layers)
    graph = model.place(ctx.device).eval()
    for name, layer in layers.items():
        _prune_when_reached(name, layer, config.sparsity, unseen)
    with torch.no_grad():
        graph(*_calibration(model, config, ctx))
    if len(unseen) == len(layers):
        raise ctx.inapplicable("no layer was run on the calibration data", "use prune.magnitude")
    for name in unseen:
        ctx.note(f"{name} was left alone: the calibration data does not reach it.")
    model.at_rest()
    return model


def _prune_when_reached(name: str, layer: Weighted, sparsity: float, unseen: dict[str, Weighted]) -> None:
    """Prune the layer just before it runs for the first time."""

    def reached(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        handle.remove()
        prune(layer, inputs[0], sparsity)
        del unseen[name]

    handle = layer.register_forward_pre_hook(reached)


@torch.no_grad()
def prune(layer: Weighted, x: Tensor, sparsity: float) -> None:
    """Set the part of each output's weights that scores lowest on this input to zero, in place; of equals the first."""
    scores = to_rows(layer, layer.weight.abs() * input_norms(layer, x))
    gone = lowest(scores, round(sparsity * scores.shape[1]))
    layer.weight.masked_fill_(from_rows(layer, gone), 0.0)


def input_norms(layer: Weighted, x: Tensor) -> Tensor:
    """For each weight, the norm of all inputs that it is multiplied with over the batch and all places.

    A layer is linear in its weights, so the gradient of the sum of its outputs is the sum of a weight's inputs.
    """
    weight = layer.weight.detach().clone().requires_grad_()
    with torch.enable_grad():
        total = functional_call(layer, {"weight": weight}, x.detach().square()).sum()
    (squares,) = torch.autograd.grad(total, weight)
    return squares.clamp_min(0).sqrt()


def _calibration(model: Model, config: PruneActivationAware, ctx: Context) -> tuple[Tensor, ...]:
    split = ctx.training_data(labels=False)
    order = torch.randperm(len(split), generator=generator(ctx.spec.seed, ctx.step))
    rows = order[: config.used(len(split))].sort().values.numpy()
    return tuple(each.to(ctx.device) for each in split.inputs(rows, model.signature.dtypes()))
