"""What is known of an ensemble before it is made: the facts of its members, put together."""

from collections.abc import Mapping, Sequence
from typing import Any

from pith.facts import Estimate, LayerFacts, ModelFacts, TensorFacts
from pith.outlook import Given, Outlook, Refusal
from pith.peers import Combining


def together(members: Mapping[str, ModelFacts], outputs: tuple[TensorFacts, ...], extra: int = 0) -> ModelFacts:
    """The facts of one model that holds these, under these names; ``extra`` are parameters beside theirs."""
    first = next(iter(members.values()))
    layers, group = [], 0
    for name, facts in members.items():
        layers += [_renamed(name, layer, group) for layer in facts.layers]
        group = 1 + max((layer.group or 0 for layer in layers), default=0)
    changed: dict[str, Any] = {
        "outputs": outputs,
        "parameters": extra + sum(facts.parameters for facts in members.values()),
        "macs": _sum([facts.macs for facts in members.values()]),
        "head": None,
        "layers": tuple(layers),
        "hints": tuple(
            hint.model_copy(update={"name": f"{name}.{hint.name}"})
            for name, facts in members.items()
            for hint in facts.hints
        ),
        "estimate": _estimates([facts.estimate for facts in members.values()]),
    }
    return first.model_copy(update=changed)


def _renamed(member: str, layer: LayerFacts, group: int) -> LayerFacts:
    new = None if layer.group is None else layer.group + group
    return layer.model_copy(update={"name": f"{member}.{layer.name}", "group": new})


def _sum(numbers: list[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def _estimates(found: list[Estimate | None]) -> Estimate | None:
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    training = [each.training_seconds for each in known if each.training_seconds is not None]
    return Estimate(
        inference_seconds=sum(each.inference_seconds for each in known),
        training_seconds=sum(training) if len(training) == len(known) else None,
        fixed_bytes=sum(each.fixed_bytes for each in known),
        sample_bytes=sum(each.sample_bytes for each in known),
    )


def foreseen(
    step: Combining,
    given: Given,
    does: str,
    refusals: Sequence[Refusal] = (),
    outputs: tuple[TensorFacts, ...] | None = None,
    extra: int = 0,
    weights: Sequence[float] | None = None,
    **more: Any,
) -> Outlook:
    """The outlook of an ensemble of the given model and the step's peers; ``extra`` as in ``together``; a member whose
    weight is zero is left out; ``more`` are further fields of it."""
    found = [given.model, *(given.named(name) for name in step.peers)]
    kept = [facts for facts, weight in zip(found, weights or [1.0] * len(found), strict=True) if weight]
    members = {f"member{index}": facts for index, facts in enumerate(kept) if facts is not None}
    complete = len(members) == len(kept) and not refusals
    model = together(members, outputs or given.model.outputs, extra) if complete else None
    return Outlook(
        does=does,
        touched=tuple(layer.name for layer in model.layers) if model else (),
        model=model,
        parameters=model.parameters if model else None,
        macs=model.macs if model else None,
        refusals=tuple(refusals),
        notes=(f"All {len(kept)} members run for every sample.",) if len(kept) > 1 else (),
        **more,
    )
