"""Unstructured pruning by magnitude (Han, Pool, Tran and Dally 2015, arXiv 1506.02626), at once, in parts, or gradually
while recovery trains (Zhu and Gupta 2017, arXiv 1710.01878).

The lowest weights of convolutions and linear layers become zero; the training loop keeps them so.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from engine.context import Context
from engine.model import Model, Weighted
from engine.prune.lowest import lamp, zero_lowest
from engine.prune.saliency import Gradients
from engine.randomness import generator
from engine.selected import selected
from engine.train import Aids, train
from pith.techniques.prune.magnitude import SCORED_SAMPLES, Gradual, PruneMagnitude

Layers = dict[str, Weighted]


def apply(model: Model, config: PruneMagnitude, ctx: Context) -> Model:
    layers = selected(model, config, ctx)
    if config.gradual is not None:
        _gradually(model, layers, config, config.gradual, ctx)
    else:
        _in_parts(model, layers, config, ctx)
    ctx.note(f"{sparsity(layers):.1%} of these weights are zero; file and latency stay until something uses that.")
    return model


def _in_parts(model: Model, layers: Layers, config: PruneMagnitude, ctx: Context) -> None:
    for phase in ctx.phases(config.iterations):
        if not ctx.resuming:
            gradients = Gradients(_weights(layers)) if config.criterion == "taylor" else None
            if gradients is not None:
                gradients.measure(model, SCORED_SAMPLES, ctx)
            prune(layers, config.sparsity * (phase + 1) / config.iterations, gradients, config, ctx)
        if config.recovery:
            train(model, ctx.training_data(labels=True), config.recovery, ctx.objective().loss, ctx)


def _gradually(model: Model, layers: Layers, config: PruneMagnitude, gradual: Gradual, ctx: Context) -> None:
    assert config.recovery is not None
    start = ctx.memo.setdefault("sparsity", sparsity(layers))
    gradients = Gradients(_weights(layers)) if config.criterion == "taylor" else None

    def after(step: int, steps: int) -> bool:
        reached = progress(step, steps, gradual)
        if reached is None:
            return False
        prune(layers, cubic(start, config.sparsity, reached), gradients, config, ctx)
        return True

    aids = Aids(helpers=gradients, gradients=None if gradients is None else gradients.gather, after=after)
    train(model, ctx.training_data(labels=True), config.recovery, ctx.objective().loss, ctx, aids)
    if sparsity(layers) < config.sparsity:
        prune(layers, config.sparsity, None if gradients is None else gradients.cpu(), config, ctx)


def _weights(layers: Layers) -> list[Tensor]:
    return [layer.weight for layer in layers.values()]


def progress(step: int, steps: int, gradual: Gradual) -> float | None:
    """How much of the schedule is over, from 0 to 1, after optimizer steps that end with pruning; None after others."""
    first, last = round(gradual.begin * steps), max(1, round(gradual.end * steps))
    if not first < step <= last or (step < last and (step - first) % gradual.every):
        return None
    return (step - first) / (last - first)


def cubic(start: float, end: float, reached: float) -> float:
    """s_f + (s_i - s_f)(1 - t)³, equation 1 of Zhu and Gupta 2017."""
    return end + (start - end) * (1 - reached) ** 3


def sparsity(layers: Layers) -> float:
    weights = _weights(layers)
    return 1 - sum(int(weight.count_nonzero()) for weight in weights) / sum(weight.numel() for weight in weights)


@torch.no_grad()
def prune(layers: Layers, target: float, gradients: Gradients | None, config: PruneMagnitude, ctx: Context) -> None:
    """Zeros until this part of the weights is zero; those that are zero already are the first.

    Raises:
        PithError: ``technique_inapplicable`` when nothing is left of a layer.
    """
    weights = _weights(layers)
    squares = None if gradients is None else gradients.squares()
    found = scores(weights, squares, config, generator(ctx.spec.seed, ctx.step))
    if config.scope == "layer":
        for weight, score in zip(weights, found, strict=True):
            zero_lowest([weight], [score], target)
    else:
        zero_lowest(weights, found, target)
    for name, layer in layers.items():
        if not layer.weight.any():
            reason = f"nothing is left of layer {name} at sparsity {target:.4g}"
            raise ctx.inapplicable(reason, f"lower sparsity, choose another scope, or put {name} into ignore")


def scores(
    weights: Sequence[Tensor], squares: Sequence[Tensor] | None, config: PruneMagnitude, chance: torch.Generator
) -> list[Tensor]:
    """What the criterion gives each weight, 0 where it is zero already. ``squares`` are those of the gradients."""
    if config.criterion == "random":
        found = [
            (torch.rand(weight.shape, generator=chance).to(weight.device) + 1) * (weight != 0) for weight in weights
        ]
    elif squares is not None:
        found = [weight.square() * square for weight, square in zip(weights, squares, strict=True)]
    else:
        found = [_MAGNITUDES[config.criterion](weight) for weight in weights]
    return [score / score.mean() for score in found] if config.scope == "normalized" else found


_MAGNITUDES: dict[str, Callable[[Tensor], Tensor]] = {"l1": torch.abs, "l2": torch.square, "lamp": lamp}
