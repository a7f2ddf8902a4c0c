"""Plans that are refused because the job could only fail or do nothing, and notes on what is not as it seems."""

from typing import Any

import pytest

from pith.facts import BlockFacts
from pith.plan import Plan, plan
from tests.pith.test_plan import (
    BODY,
    HEAD,
    IMAGES,
    MODEL_ID,
    NORM,
    PICTURES,
    PRUNE,
    STEM,
    TEACHER_ID,
    changed,
    dataset,
    model,
    spec,
    wrong,
)


def planned(*recipe: dict[str, Any], facts: Any = IMAGES) -> Plan:
    return plan(spec(*recipe), model(facts), dataset(), {TEACHER_ID: model(id=TEACHER_ID)})


@pytest.mark.parametrize("step", [{"kind": "finetune.head"}, {"kind": "finetune.joint", "classes": "new"}])
def test_a_model_without_layers_has_no_head_to_replace(step: dict[str, Any]) -> None:
    assert wrong(planned(step, facts=changed(IMAGES, layers=(NORM,)))) == [("/recipe/0", "head_not_found")]
    assert wrong(planned(step)) == []


def test_a_model_without_layers_may_be_taught_the_same_classes() -> None:
    assert wrong(planned({"kind": "finetune.joint"}, facts=changed(IMAGES, layers=(NORM,)))) == []


@pytest.mark.parametrize("target", ["parameters", "macs"])
def test_a_part_that_no_pruning_takes_away_is_refused(target: str) -> None:
    found = planned({**PRUNE, "target": target, "pruning_ratio": 0.999})
    assert wrong(found) == [("/recipe/0/pruning_ratio", "technique_inapplicable")]
    assert f"no pruning leaves 0.1% of the {target}: too little of them is" in found.problems[0].detail
    assert found.problems[0].detail.endswith("; lower pruning_ratio or round_to.")
    assert wrong(planned({**PRUNE, "target": target, "pruning_ratio": 0.9})) == []


def test_layers_that_are_left_alone_hold_what_cannot_go() -> None:
    wide = changed(HEAD, name="wide", shape=(512, 3, 3, 3), parameters=13_824, macs=10**7, width=512, kind="Conv2d")
    facts = changed(IMAGES, layers=(STEM, BODY, wide, HEAD), macs=11_000_640)
    step = {**PRUNE, "target": "macs", "pruning_ratio": 0.5}
    assert wrong(planned(step, facts=facts)) == [("/recipe/0/pruning_ratio", "technique_inapplicable")]


def test_scales_of_norms_that_are_not_there_are_noted() -> None:
    scale = {**PRUNE, "importance": "bn_scale"}
    (note,) = planned(scale, facts=changed(IMAGES, layers=(STEM, BODY, HEAD))).steps[0].notes
    assert note == "No norm with a scale is behind stem, body: the norm of the weights is taken instead."
    assert planned(scale).steps[0].notes == ()


@pytest.mark.parametrize("kind", ["merge.average", "merge.slerp", "merge.task_arithmetic", "merge.ties"])
def test_a_model_is_not_merged_with_itself(kind: str) -> None:
    merge = {"kind": kind, "peers": ["baseline"]}
    found = planned(merge)
    assert wrong(found) == [("/recipe/0/peers/0", "technique_inapplicable")]
    assert "it is the baseline still and would be merged with itself; name another model" in found.problems[0].detail
    assert wrong(planned({"kind": "finetune.full"}, merge)) == []


@pytest.mark.parametrize("kind", ["merge.vote", "merge.weighted", "merge.gated"])
def test_an_ensemble_is_as_large_as_its_members(kind: str) -> None:
    found = planned({"kind": kind, "peers": [TEACHER_ID]})
    (step,) = found.steps
    gate = 32 * (3 * 8 * 8 + 1) + 2 * 33 if kind == "merge.gated" else 0  # 8 x 8 of each channel, one hidden layer
    assert (step.parameters.before, step.parameters.after) == (39_370, 2 * 39_370 + gate)
    assert (step.macs.before, step.macs.after) == (1_000_640, 2 * 1_000_640)
    assert step.notes == ("All 2 members run for every sample.",)


@pytest.mark.parametrize("teacher", ["baseline", MODEL_ID, [{"model": "baseline"}]])
def test_a_model_that_would_be_taught_by_itself_is_noted(teacher: Any) -> None:
    others = {MODEL_ID: model(), TEACHER_ID: model(id=TEACHER_ID)}
    taught: dict[str, Any] = {"kind": "distill.logits", "teacher": teacher}

    def notes(*recipe: dict[str, Any]) -> tuple[str, ...]:
        return plan(spec(*recipe), model(), dataset(), others).steps[-1].notes

    (note,) = notes(taught)
    assert note.startswith("No step before this one changed the model, so it would be taught by itself: name another")
    assert notes(PRUNE, taught) == notes({**taught, "student": TEACHER_ID}) == ()
    assert notes({**taught, "teacher": TEACHER_ID}) == ()
    assert notes({**taught, "teacher": [{"model": "baseline"}, {"model": TEACHER_ID}]}) == ()


def test_where_all_blocks_go_no_mean_is_taken() -> None:
    blocks = tuple(BlockFacts(name=f"b{n}", shape=(None, 64), parameters=9, residual=True) for n in range(2))
    facts = changed(IMAGES, blocks=blocks)
    (some,) = planned({"kind": "prune.layer", "layers": 1}, facts=facts).steps[0].notes
    assert "of the mean block" in some
    assert planned({"kind": "prune.layer", "layers": 2}, facts=facts).steps[0].notes == ()


def matrix(inputs: int | None) -> Any:
    head = changed(HEAD, shape=(96, 64), inputs=inputs)
    return changed(IMAGES, format="onnx", trainable=False, layers=(head,))


def test_groups_must_divide_the_side_of_an_onnx_matrix_that_reads() -> None:
    def asked(inputs: int | None) -> list[str]:
        step = {"kind": "quantize.weight_only", "group_size": 96}
        job = spec(step, outputs=["onnx"])
        return [problem.detail for problem in plan(job, model(matrix(inputs)), dataset(), {}).problems]

    (refused,) = asked(64)
    assert "head has 64 inputs, which do not divide into groups of 96; use group_size=32" in refused
    assert asked(96) == asked(None) == []  # None: learnt before the sides were told apart


def test_a_quantized_model_takes_no_step() -> None:
    found = planned({"kind": "quantize.weight_only", "bits": 2}, facts=changed(IMAGES, finished_layers=3))
    assert wrong(found) == [("/model", "model_finished")]
    assert "holds 3 layers" in found.problems[0].detail and "start from the model it was made from" in str(found)


@pytest.mark.parametrize("kind", ["merge.average", "merge.vote", "merge.sequential"])
def test_a_quantized_model_is_no_peer(kind: str) -> None:
    others = {TEACHER_ID: model(changed(IMAGES, finished_layers=3), id=TEACHER_ID)}
    found = plan(spec({"kind": kind, "peers": [TEACHER_ID]}), model(), dataset(), others)
    assert ("/recipe/0/peers/0", "model_finished") in wrong(found)


@pytest.mark.parametrize("kind", ["quantize.weight_only", "quantize.adaround"])
def test_what_only_measuring_tells_of_few_bits_is_said(kind: str) -> None:
    said = "Whether 2 bits leave enough of each layer is measured when the job runs"
    assert any(note.startswith(said) for note in planned({"kind": kind, "bits": 2}).steps[0].notes)
    assert not any("measured" in note for note in planned({"kind": kind, "bits": 4}).steps[0].notes)


@pytest.mark.parametrize("kind", ["quantize.adaround", "quantize.mixed"])
def test_layers_whose_rounding_is_not_learned_are_named(kind: str) -> None:
    wide = changed(HEAD, name="wide", shape=(10, 8193))
    found = planned({"kind": kind}, facts=changed(IMAGES, layers=(STEM, wide, HEAD)))
    assert found.steps[0].notes == ("Rounded to the nearest level, and not learned: wide.",)


def test_weights_too_few_to_be_halved() -> None:
    few = changed(HEAD, shape=(1, 31), parameters=32)
    step = {"kind": "quantize.float16"}
    facts = changed(IMAGES, layers=(few,), parameters=32)
    assert wrong(planned(step, facts=facts)) == [("/recipe/0", "technique_inapplicable")]
    assert wrong(planned(step, facts=changed(facts, parameters=300))) == []  # the rest may be recurrent
    assert wrong(planned(step, facts=changed(facts, layers=(changed(few, shape=(1, 32)),)))) == []


def test_other_classes_are_told_of_finetune_head() -> None:
    data = dataset(changed(PICTURES, classes=tuple("abcdefghijk")))
    found = plan(spec(PRUNE), model(), data, {})
    assert "let finetune.head give the model an output for each class" in found.problems[0].detail
    assert wrong(plan(spec({"kind": "finetune.head"}, PRUNE), model(), data, {})) == []


def narrow(width: float, round_to: int) -> Plan:
    return planned({"kind": "distill.logits", "student": {"width": width, "round_to": round_to}})


def test_layers_of_which_a_student_keeps_hardly_anything_are_named() -> None:
    assert narrow(0.02, 1).steps[0].notes == (
        "One channel is all that is left of stem, body; raise width or round_to.",
    )
    assert narrow(0.01, 4).steps[0].notes == (
        "round_to keeps 4 channels of stem, body; a width of 0.01 alone would leave less than half of that.",
    )
    assert narrow(0.5, 4).steps[0].notes == ()


def test_a_student_without_a_channel_is_refused() -> None:
    found = narrow(0.007, 1)
    assert wrong(found) == [("/recipe/0/student/width", "technique_inapplicable")]
    assert (
        "a width of 0.007 leaves none of the 64 channels of stem; raise width to 0.016 or more"
        in found.problems[0].detail
    )
    assert wrong(narrow(0.016, 1)) == []


def test_many_collapsed_layers_are_counted() -> None:
    layers = tuple(changed(BODY, name=f"b{n}", group=n) for n in range(8))
    step = {"kind": "distill.logits", "student": {"width": 0.02, "round_to": 1}}
    (note,) = planned(step, facts=changed(IMAGES, layers=(*layers, HEAD))).steps[0].notes
    assert "b0, b1, b2, b3, b4 and 3 more layers; raise" in note
