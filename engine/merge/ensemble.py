"""Members side by side in one graph: the same inputs for all, their outputs combined by one more part, ``combine``.

The combining part is an ordinary module that is exported and lifted like any model, so the whole exports, trains and is
lifted again like any model. It is called with the outputs of all members, all of one output together, as one tensor of
shape (members, batch, …) an output, after the inputs where it asks for those.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim

from engine.context import Context
from engine.intake.facts import tensor_facts
from engine.lift import lift
from engine.merge.compose import Composition
from engine.merge.weights import others
from engine.model import Model
from engine.quiet import quiet
from engine.signature import TensorSpec
from pith.facts import TensorFacts
from pith.outlook import Refusal
from pith.peers import Combining, beside, no_average

COMBINE = "combine"


def members(model: Model, step: Combining, ctx: Context) -> list[Model]:
    """The step's own model and its peers, which may stand side by side.

    Raises:
        PithError: as ``others``, ``merge_mismatch``, or ``technique_inapplicable`` for outputs that are integers.
    """
    found = others(step, ctx)
    for name, other in found.items():
        refuse(beside("", name, ends(other), ends(model)), ctx)
    refuse(no_average(ends(model)), ctx)
    return [model, *found.values()]


def scores(model: Model, ctx: Context) -> bool:
    """Whether the first output is scores of classes."""
    return ctx.objective().classes and model.signature.class_scores()


class Ends(NamedTuple):
    """What a plan would know of a model that stands here."""

    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]


def ends(model: Model) -> Ends:
    """Of this model."""
    inputs, outputs = model.signature.inputs, model.signature.outputs
    return Ends(tuple(map(tensor_facts, inputs)), tuple(map(tensor_facts, outputs)))


def refuse(refusals: Iterable[Refusal], ctx: Context) -> None:
    """
    Raises:
        PithError: the first refusal, if there is one.
    """
    for refusal in refusals:
        raise refusal.error(ctx.step, ctx.config.kind)  # type: ignore[attr-defined]


def side_by_side(found: Sequence[Model], combine: nn.Module, sees_inputs: bool = False) -> Model:
    """One model of all; ``combine`` gives as many outputs as each member does."""
    signature = found[0].signature
    whole = Composition(signature.inputs)
    given = [whole.add(f"member{index}", member, whole.inputs) for index, member in enumerate(found)]
    feeds = [node for outputs in zip(*given, strict=True) for node in outputs]
    specs = [spec for output in signature.outputs for spec in (output,) * len(found)]
    if sees_inputs:
        feeds, specs = [*whole.inputs, *feeds], [*signature.inputs, *specs]
    part = as_model(_Stacking(combine, len(signature.inputs) * sees_inputs, len(found)), specs)
    return whole.finish(whole.add(COMBINE, part, feeds), signature.outputs)


class _Stacking(nn.Module):
    """Puts the outputs of all members together before they are combined."""

    def __init__(self, rule: nn.Module, inputs: int, members: int) -> None:
        super().__init__()
        self.rule, self.inputs, self.members = rule, inputs, members

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        seen, outputs = given[: self.inputs], given[self.inputs :]
        stacked = [torch.stack(outputs[at : at + self.members]) for at in range(0, len(outputs), self.members)]
        found: tuple[Tensor, ...] = self.rule(*seen, *stacked)
        return found


def as_model(module: nn.Module, specs: Sequence[TensorSpec]) -> Model:
    """A module of tensors as a model; what is dynamic in the specs is dynamic in it."""
    named = [replace(spec, name=f"given_{index}") for index, spec in enumerate(specs)]
    sizes = tuple({index: Dim.AUTO for index, size in enumerate(spec.shape) if size is None} for spec in named)
    example = tuple(spec.tensor(2, seed) for seed, spec in enumerate(named))
    with quiet():
        program = torch.export.export(module.eval(), example, dynamic_shapes=(sizes,))
    return Model(*lift(program))


class Mixture(nn.Module):
    """Outputs averaged with fixed weights, one a member."""

    shares: Tensor

    def __init__(self, weights: Sequence[float], probabilities: bool) -> None:
        super().__init__()
        share = torch.tensor(weights, dtype=torch.float64)
        self.register_buffer("shares", (share / share.sum()).float())
        self.probabilities = probabilities

    def forward(self, *stacked: Tensor) -> tuple[Tensor, ...]:
        shares = self.shares[:, None]
        first = mixed(stacked[0], shares.log()) if self.probabilities else averaged(stacked[0], shares)
        return first, *(averaged(each, shares) for each in stacked[1:])


def mixed(scores: Tensor, log_shares: Tensor) -> Tensor:
    """log Σᵢ wᵢ softmax(zᵢ) for scores of shape (members, batch, classes) and log wᵢ of shape (members, batch or 1).

    Softmax of it is the average of the probabilities.
    """
    return torch.logsumexp(torch.log_softmax(scores, -1) + log_shares[:, :, None], 0)


def averaged(outputs: Tensor, shares: Tensor) -> Tensor:
    """Σᵢ wᵢ yᵢ for outputs of shape (members, batch, …)."""
    return (outputs * shares.reshape(*shares.shape, *(1,) * (outputs.ndim - 2))).sum(0)
