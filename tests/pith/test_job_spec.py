"""The job spec: the same after any trip, frozen, closed to what it does not know, and sensible or refused."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from pith.base import OF_DATA
from pith.errors import PithError
from pith.job import FINAL, TRANSITIONS, JobSpec
from pith.recipe import AnyStep, step_classes, techniques
from tests.pith.strategies import DATASET, MODEL, TEACHER, least, recipes, specs


@given(specs)
def test_a_spec_survives_the_trip_through_json(spec: JobSpec) -> None:
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec
    assert JobSpec.model_validate(json.loads(json.dumps(spec.model_dump(mode="json")))) == spec


@given(specs)
def test_a_spec_makes_sense_exactly_when_its_order_and_its_data_do(spec: JobSpec) -> None:
    bad_order = _disordered(spec.recipe)
    needs_data = any(step.required() & OF_DATA for step in spec.recipe)
    undefined = spec.constraints.max_metric_drop is not None and spec.recipe[-1].new_outputs()
    lacks_data = spec.dataset is None and (needs_data or spec.constraints.max_metric_drop is not None)
    try:
        spec.check()
        assert not bad_order and not lacks_data and not undefined
    except PithError as error:
        reasons = {"recipe_order"} if bad_order else {"technique_inapplicable"} if undefined else set()
        reasons |= {"dataset_required", "dataset_required_by_constraint"} if lacks_data and not bad_order else set()
        assert error.code in reasons


RECOVERY, TAYLOR = {"recovery": {}}, {"importance": "taylor"}


@pytest.mark.parametrize(
    ("step", "needs"),
    [
        ({"kind": "prune.channel", **RECOVERY}, " for recovery (null does without);"),
        ({"kind": "quantize.codebook", **RECOVERY}, " for recovery (null does without);"),
        (
            {"kind": "prune.channel", **TAYLOR, **RECOVERY},
            " for importance taylor (l2 does without) and recovery (null does without);",
        ),
        ({"kind": "prune.head"}, " for importance taylor (magnitude does without);"),
        ({"kind": "prune.magnitude", "criterion": "taylor"}, " for criterion taylor (l1 does without);"),
        ({"kind": "merge.average", "peers": [TEACHER], "method": "greedy"}, " for the method greedy (uniform does"),
        ({"kind": "finetune.full"}, ";"),
    ],
)
def test_the_option_that_asks_for_data_is_named_with_the_way_without(step: dict[str, Any], needs: str) -> None:
    with pytest.raises(PithError, match="dataset_required") as caught:
        JobSpec.model_validate(_spec(recipe=[step])).check()
    assert f"needs labels, training_data{needs}" in caught.value.problem.detail


@pytest.mark.parametrize("kind", step_classes())
def test_what_is_done_without_needs_no_data(kind: str) -> None:
    step = JobSpec.model_validate(_spec(recipe=[least(kind)])).recipe[0]
    assert not step.asks() or step.required() & OF_DATA
    for without in re.findall(r"(\w+) taylor \((\w+) does", " ".join(step.asks())):
        changed = JobSpec.model_validate(_spec(recipe=[{**least(kind), without[0]: without[1]}])).recipe[0]
        assert not changed.asks() and not changed.required() & OF_DATA


def _disordered(recipe: tuple[AnyStep, ...]) -> bool:
    """Stated from the front: what may still come shrinks with every step."""
    open_to = {"shapes", "values", "dtype", "outputs", "encoding"}
    for step in recipe:
        if not step.changes <= open_to or not open_to:
            return True
        if "dtype" in step.changes:
            open_to = {"encoding"}
        if "encoding" in step.changes:
            open_to = set()
    return False


@given(recipes)
def test_the_order_problem_names_the_two_steps(recipe: tuple[AnyStep, ...]) -> None:
    spec = JobSpec(model=MODEL, dataset=DATASET, recipe=recipe)
    try:
        spec.check()
    except PithError as error:
        second, first = map(int, re.findall(r"recipe\[(\d+)\]", error.problem.detail)[:2])
        assert first < second and recipe[first].changes & {"dtype", "encoding"}
        assert f"({recipe[second].kind}) cannot follow" in error.problem.detail
        assert not _disordered(recipe[:second]) and _disordered(recipe[: second + 1])


@given(specs)
def test_models_are_those_that_steps_name_once_each_with_the_first_place(spec: JobSpec) -> None:
    named = [(i, place) for i, step in enumerate(spec.recipe) for place in step.models()]
    assert spec.models() == ({TEACHER: f"/recipe/{named[0][0]}/{named[0][1]}"} if named else {})
    told = json.dumps([step.model_dump(mode="json") for step in spec.recipe])
    assert bool(named) == (TEACHER in told)


def _spec(**change: Any) -> dict[str, Any]:
    return {"model": MODEL, "recipe": [{"kind": "quantize.dynamic"}], **change}


REFUSED = {
    "unknown field": _spec(colour="red"),
    "unknown field in constraints": _spec(constraints={"max_size": 1}),
    "dataset as model": _spec(model=DATASET),
    "NaN": _spec(constraints={"min_speedup": float("nan")}),
    "infinity": _spec(constraints={"min_speedup": float("inf")}),
    "no recipe": _spec(recipe=[]),
    "33 steps": _spec(recipe=[{"kind": "prune.magnitude"}] * 33),
    "no outputs": _spec(outputs=[]),
    "an output twice": _spec(outputs=["onnx", "onnx"]),
    "an unknown output": _spec(outputs=["tflite"]),
    "negative seed": _spec(seed=-1),
    "large seed": _spec(seed=2**63),
}


@pytest.mark.parametrize("document", REFUSED.values(), ids=REFUSED)
def test_what_a_spec_does_not_take(document: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        JobSpec.model_validate(document)


def test_a_spec_does_not_change() -> None:
    spec = JobSpec.model_validate(_spec())
    with pytest.raises(ValidationError):
        spec.seed = 2  # type: ignore[misc]


@pytest.mark.parametrize("kind", step_classes())
def test_every_step_is_bounded_described_and_closed(kind: str) -> None:
    schema = step_classes()[kind].model_json_schema()
    assert schema["additionalProperties"] is False
    for name, field in schema["properties"].items():
        assert name == "kind" or field.get("description"), name
        if field.get("type") in {"number", "integer"} and not {"const", "enum"} & set(field):
            assert {"minimum", "exclusiveMinimum"} & set(field) and {"maximum", "exclusiveMaximum"} & set(field), name


def test_every_technique_is_listed_with_its_family_and_says_what_it_is() -> None:
    for technique in techniques():
        assert technique.kind.startswith(f"{technique.family}.")
        assert technique.summary and technique.paper and technique.limits and technique.changes


def test_a_job_can_always_end_and_never_after_its_end() -> None:
    assert {"succeeded", "failed", "cancelled"} == FINAL
    for status, after in TRANSITIONS.items():
        assert status not in after
        assert after & FINAL or status in FINAL
