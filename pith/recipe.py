"""A recipe: ordered steps, and the one rule about their order.

A technique is the class of its module in ``pith.techniques``, and that place is its kind; there is no other list.
"""

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import AfterValidator, Field

from pith import techniques as places
from pith.base import Change, Frozen, Need, Step
from pith.errors import PithError
from pith.facts import ModelFacts
from pith.outlook import Given, Outlook

MAX_STEPS = 32
_OF_TRAINABLE: frozenset[Change] = frozenset({"shapes", "values"})
"""Changes that a finished graph cannot take."""


@cache
def step_classes() -> dict[str, type[Step]]:
    """Every step class by its kind: ``prune.channel`` is the one of ``pith/techniques/prune/channel.py``."""
    found = {}
    for family in iter_modules(places.__path__):
        for technique in iter_modules([f"{place}/{family.name}" for place in places.__path__]):
            kind = f"{family.name}.{technique.name}"
            found[kind] = _step_class(kind)
    return dict(sorted(found.items()))


def _step_class(kind: str) -> type[Step]:
    module = import_module(f"{places.__name__}.{kind}")
    (cls,) = (
        cls
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, Step) and cls.__module__ == module.__name__
    )
    assert cls.model_fields["kind"].default == kind, f"{module.__name__} has another kind"
    return cls


if TYPE_CHECKING:

    class AnyStep(Step):
        """What all of them have."""

        kind: str

        def outlook(self, given: Given) -> Outlook: ...

else:
    AnyStep = Annotated[Union[tuple(step_classes().values())], Field(discriminator="kind")]  # noqa: UP007


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


def techniques() -> tuple[Technique, ...]:
    return tuple(_technique(kind, cls) for kind, cls in step_classes().items())


def check_order(recipe: tuple[AnyStep, ...]) -> None:
    """Refuse a step that cannot follow the ones before it.

    Raises:
        PithError: ``recipe_order``.
    """
    for _, problem in order_problems(recipe):
        raise problem


def order_problems(recipe: tuple[AnyStep, ...]) -> Iterator[tuple[int, PithError]]:
    """Every step that cannot follow the ones before it, by its place: ``recipe_order``.

    Once a step has changed the dtype the graph is finished: nothing may train it, reshape it or change its dtype
    again. Once its weights are encoded, nothing may follow.
    """
    finishing: dict[int, AnyStep] = {}
    for index, step in enumerate(recipe):
        place = next((place for place, earlier in finishing.items() if not _may_follow(step, earlier)), None)
        if place is not None:
            way_out = _way_out(index, step, place, finishing)
            earlier = finishing[place].kind
            yield (
                index,
                PithError(
                    "recipe_order",
                    index=index,
                    kind=step.kind,
                    earlier=earlier,
                    earlier_index=place,
                    way_out=way_out,
                ),
            )
        elif _finishes(step):
            finishing[index] = step


def _finishes(step: AnyStep) -> bool:
    return bool(step.changes & {"dtype", "encoding"})


def _may_follow(step: AnyStep, earlier: AnyStep) -> bool:
    if not _finishes(earlier):
        return True
    return not step.changes & {"shapes", "values", "dtype"} and "encoding" not in earlier.changes


def _way_out(index: int, step: AnyStep, place: int, finishing: Mapping[int, AnyStep]) -> str:
    """``place`` is the first step that this one cannot follow; what stands there and behind may have to follow it."""
    if all(_may_follow(later, step) for at, later in finishing.items() if at >= place):
        return f"move recipe[{index}] before it"
    if step.kind == finishing[place].kind:
        return f"once is enough: take recipe[{index}] out"
    earlier = finishing[place].kind
    return (
        f"a model is finished so once, in either order: take recipe[{index}] out to keep {earlier}, or "
        f"recipe[{place}] to keep {step.kind}"
    )


def finished_problems(recipe: tuple[AnyStep, ...]) -> Iterator[tuple[int, PithError]]:
    """Every step that a finished graph (``ModelFacts.trainable`` is false) cannot take, by its place.

    Such a graph can change its dtype, and can be run, which is all that a step does which changes nothing else.
    """
    for index, step in enumerate(recipe):
        if step.changes & _OF_TRAINABLE:
            yield index, PithError("model_not_trainable", index=index, kind=step.kind)


def takes(model: ModelFacts | None) -> frozenset[str]:
    """The kinds of techniques that such a model can take at all; every one while nothing is known of it."""
    if model is None or (model.trainable and not model.finished_layers):
        return frozenset(step_classes())
    if model.finished_layers:
        return frozenset()
    return frozenset(kind for kind, cls in step_classes().items() if not cls.changes & _OF_TRAINABLE)


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
