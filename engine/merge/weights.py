"""Weights of several models of one architecture, tensor by tensor, and the one model they become.

Parameters are what a technique computes with; buffers (statistics of batch norms, above all) are averaged, and
statistics are estimated anew where there is data (``engine.merge.norms``). Tensors that are equal in all models stay as
they are, to the bit. Not covered: models whose names or shapes differ.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from engine.context import Context
from engine.merge.norms import settle_norms
from engine.model import Model
from pith.errors import PithError
from pith.peers import ONE_ARCHITECTURE, Combining, finished, itself

Combine = Callable[[str, list[Tensor]], Tensor]
"""``combine(name, values)`` gives one tensor for the values of that name in all models, in their order, as float64."""


def peers(step: Combining, ctx: Context) -> dict[str, Model]:
    """The models that a step names, by their names.

    Raises:
        PithError: any ``model_…`` code, or ``technique_inapplicable`` for one without layers.
    """
    return {name: _peer(name, ctx) for name in step.named().values()}


def others(step: Combining, ctx: Context) -> dict[str, Model]:
    """The same, none of which is the step's own model once more.

    Raises:
        PithError: as ``peers``, or ``technique_inapplicable`` for the step's own model.
    """
    for refusal in itself(step, ctx.spec.model, ctx.step == 0):
        raise ctx.inapplicable(refusal.reason, refusal.way_out)
    return peers(step, ctx)


def _peer(name: str, ctx: Context) -> Model:
    model = ctx.model(name)
    if not model.trainable:
        raise ctx.inapplicable(*finished(name))
    if integers := model.integer_layers():
        raise PithError("model_finished", count=integers, kind=ctx.config.kind)  # type: ignore[attr-defined]
    model.at_rest()
    return model


def check_alike(mine: Model, others: Mapping[str, Model]) -> None:
    """
    Raises:
        PithError: ``merge_mismatch`` for the first tensor of the first model that is not like the one here.
    """
    here = mine.graph.state_dict()
    for name, other in others.items():
        there = other.graph.state_dict()
        for tensor in dict.fromkeys((*here, *there)):
            theirs, wanted = _shown(there.get(tensor)), _shown(here.get(tensor))
            if theirs != wanted:
                raise PithError(
                    "merge_mismatch",
                    other=name,
                    what=f"the tensor {tensor}",
                    theirs=theirs,
                    wanted=f"{wanted} in the step's own model",
                    way_out=ONE_ARCHITECTURE,
                )


def _shown(tensor: Tensor | None) -> str:
    if tensor is None:
        return "missing"
    return f"{str(tensor.dtype).removeprefix('torch.')} ({', '.join(map(str, tensor.shape))})"


def parameters(model: Model) -> dict[str, Tensor]:
    """Every parameter that is a number, by each of its names."""
    found = model.graph.named_parameters(remove_duplicate=False)
    return {name: tensor.detach() for name, tensor in found if tensor.is_floating_point()}


def merged(models: Sequence[Model], combine: Combine, shares: Sequence[float], ctx: Context) -> Model:
    """One model, of the first one's architecture; ``shares`` weigh the models' buffers."""
    result = combined(models, combine, shares)
    settle_norms(result, ctx)
    return result


def combined(models: Sequence[Model], combine: Combine, shares: Sequence[float]) -> Model:
    """The same, without data."""
    result = models[0].copy()
    mine, all_tensors = result.graph.state_dict(), [model.graph.state_dict() for model in models]
    learnt = parameters(result)
    with torch.no_grad():
        for name, target in mine.items():
            values = [tensors[name] for tensors in all_tensors]
            if not target.is_floating_point() or all(torch.equal(values[0], value) for value in values[1:]):
                continue
            rule = combine if name in learnt else weighted_mean(shares)
            target.copy_(rule(name, [value.double() for value in values]))
    return result


def weighted_mean(shares: Sequence[float]) -> Combine:
    """Σ wᵢ θᵢ / Σ wᵢ."""
    total = sum(shares)

    def mean(name: str, values: list[Tensor]) -> Tensor:
        return torch.stack([value * (share / total) for share, value in zip(shares, values, strict=True)]).sum(0)

    return mean
