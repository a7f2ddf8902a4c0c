"""A recipe: ordered steps, and the one rule about their order."""

import inspect
from collections.abc import Iterator
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, Field

from pith.base import Change, Frozen, Need, Step
from pith.distill import Distill
from pith.errors import PithError
from pith.finetune import Finetune
from pith.prune import Prune
from pith.quantize import Quantize

AnyStep = Annotated[Finetune | Prune | Distill | Quantize, Field(discriminator="kind")]
MAX_STEPS = 32


def _of_sane_length(recipe: tuple[AnyStep, ...]) -> tuple[AnyStep, ...]:
    if not 1 <= len(recipe) <= MAX_STEPS:
        raise ValueError(f"has {len(recipe)} steps; it takes 1 to {MAX_STEPS}")
    return recipe


# Checked after the steps, so that a wrong step is not also reported as a recipe that is too short.
Recipe = Annotated[
    tuple[AnyStep, ...],
    AfterValidator(_of_sane_length),
    Field(json_schema_extra={"minItems": 1, "maxItems": MAX_STEPS}),
]


class Technique(Frozen):
    """A technique as ``GET /v1/techniques`` shows it; ``options`` is the JSON Schema of its step."""

    kind: str
    family: str
    summary: str
    paper: str
    limits: str
    needs: tuple[Need, ...]
    changes: tuple[Change, ...]
    options: dict[str, Any]


def step_classes() -> dict[str, type[Step]]:
    """Every step class by its kind, read off the union above."""
    classes = (leaf for family in get_args(get_args(AnyStep)[0]) for leaf in _leaves(family))
    return {leaf.model_fields["kind"].default: leaf for leaf in classes}


def techniques() -> tuple[Technique, ...]:
    return tuple(_technique(kind, cls) for kind, cls in sorted(step_classes().items()))


def check_order(recipe: tuple[AnyStep, ...]) -> None:
    """Refuse a step that cannot follow the ones before it.

    Raises:
        PithError: ``recipe_order``.
    """
    for _, problem in order_problems(recipe):
        raise problem


def order_problems(recipe: tuple[AnyStep, ...]) -> Iterator[tuple[int, PithError]]:
    """Every step that cannot follow the ones before it, by its place: ``recipe_order``.

    Once a step has changed the dtype the graph is finished: nothing may train it, reshape it or change
    its dtype again.
    """
    finished = None
    for index, step in enumerate(recipe):
        if finished is not None:
            earlier = recipe[finished].kind
            problem = PithError("recipe_order", index=index, kind=step.kind, earlier=earlier, earlier_index=finished)
            yield index, problem
        elif "dtype" in step.changes:
            finished = index


def finished_problems(recipe: tuple[AnyStep, ...]) -> Iterator[tuple[int, PithError]]:
    """Every step that a finished graph (``ModelFacts.trainable`` is false) cannot take, by its place.

    Such a graph can change its dtype, and can be run, which is all that a step does which changes nothing else.
    """
    for index, step in enumerate(recipe):
        if step.changes & {"shapes", "values"}:
            yield index, PithError("model_not_trainable", index=index, kind=step.kind)


def _leaves(family: Any) -> tuple[type[Step], ...]:
    if isinstance(family, type):
        return (family,)
    return tuple(leaf for arg in get_args(family) for leaf in _leaves(arg) if not hasattr(arg, "discriminator"))


def _technique(kind: str, cls: type[Step]) -> Technique:
    return Technique(
        kind=kind,
        family=kind.split(".")[0],
        summary=(inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " "),
        paper=cls.paper,
        limits=cls.limits,
        needs=tuple(sorted(cls.needs)),
        changes=tuple(sorted(cls.changes)),
        options=cls.model_json_schema(),
    )
