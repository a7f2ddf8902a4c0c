"""What a plan says of steps behind ``prune.layer``, and what they say when their layers are gone."""

import contextlib
from pathlib import Path
from typing import Any

import pytest

from engine.prune import layer
from engine.registry import technique
from engine.selected import refuse_unmatched
from pith.errors import PithError
from pith.plan import Plan
from tests.engine.conformance import opened
from tests.engine.prune.test_layer import Stages
from tests.engine.test_plan import planned
from tests.engine.tiny import job_folder

TAKING = {"kind": "prune.layer", "layers": 2, "importance": "similarity"}
BLOCKS = ("first.0", "first.1", "first.2", "second.0")


def foreseen(then: dict[str, Any], **options: Any) -> Plan:
    return planned(Stages, [{**TAKING, **options}, then])


def test_later_steps_count_what_will_be_left() -> None:
    whole = planned(Stages, [{"kind": "prune.magnitude"}]).steps[0]
    step = foreseen({"kind": "prune.magnitude"}).steps[1]
    assert len(whole.touched) == 3 + 2 * 4 and len(step.touched) == 3 + 2 * 2
    assert step.parameters.before == foreseen({"kind": "prune.magnitude"}).steps[0].parameters.after
    taken = [name for name in BLOCKS if not any(each.startswith(name) for each in step.touched)]
    assert step.notes[-1] == (
        f"Only running prune.layer tells which blocks it takes; here all is as if it took {', '.join(taken)}."
    )


@pytest.mark.parametrize("block", BLOCKS)
def test_a_pattern_of_what_may_be_gone_is_noted(block: str) -> None:
    found = foreseen({"kind": "prune.channel", "round_to": 4, "ignore": [f"{block}.*"]})
    assert found.possible
    said = f"ignore has '{block}.*'; should prune.layer take all that it names, the job ends there."
    assert found.steps[1].notes[-1] == said


def test_a_pattern_of_what_stays_is_not_noted() -> None:
    for stays, options in (("stem", {}), ("first.*", {"ignore": ["first.0"]}), ("*", {})):
        notes = foreseen({"kind": "prune.magnitude", "ignore": [stays, "last"]}, **options).steps[1].notes
        assert not any("should prune.layer" in note for note in notes)


def test_where_all_blocks_go_nothing_is_in_doubt() -> None:
    found = foreseen({"kind": "prune.channel", "round_to": 4, "ignore": ["first.0.*"]}, layers=4)
    assert [(each.errors[0].pointer, each.code) for each in found.problems] == [
        ("/recipe/1/ignore/0", "technique_inapplicable")
    ]
    assert planned(Stages, [{**TAKING, "layers": 4}, {"kind": "prune.magnitude"}]).steps[1].notes == ()


def test_a_pattern_of_nothing_is_refused_as_ever() -> None:
    assert not foreseen({"kind": "prune.magnitude", "ignore": ["absent"]}).possible


@pytest.mark.parametrize(
    ("then", "field"),
    [
        ({"kind": "prune.channel", "round_to": 4}, "ignore"),
        ({"kind": "finetune.partial", "epochs": 1}, "freeze"),
        ({"kind": "prune.layer", "layers": 1}, "ignore"),
    ],
)
def test_the_refusal_names_what_was_taken_and_by_which_step(then: dict[str, Any], field: str, tmp_path: Path) -> None:
    pattern = "first.*" if then["kind"] == "prune.layer" else "first.*.one"
    recipe = [{"kind": "prune.layer", "layers": 3, "ignore": ["second.0"]}, {**then, field: [pattern]}]
    ctx = opened(job_folder(tmp_path, recipe, net=Stages))
    with contextlib.closing(ctx.events), pytest.raises(PithError, match="technique_inapplicable") as caught:
        model = layer.apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
        ctx.begin(1)
        technique(then["kind"])(model, ctx.config, ctx)
    said = f"{field} has {pattern!r}, which matches no layer: prune.layer took first.0"
    assert said in caught.value.problem.detail


def test_a_student_may_have_taken_it_too(tmp_path: Path) -> None:
    student = {"kind": "distill.logits", "student": {"depth": 0.5}}
    recipe = [student, {"kind": "prune.magnitude"}, {"kind": "prune.magnitude", "ignore": ["first.*.one"]}]
    ctx = opened(job_folder(tmp_path, recipe, net=Stages))
    ctx.begin(2)
    with contextlib.closing(ctx.events), pytest.raises(PithError, match="technique_inapplicable") as caught:
        refuse_unmatched(["first.*.one"], ["second.0.one"], "ignore", ctx)
    assert "which matches no layer: distill.logits took first.0" in caught.value.problem.detail
