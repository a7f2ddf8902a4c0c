"""Every way to a student, and every way to its teachers: cached, several, of other kinds, without labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import engine.distill.answers
import engine.reload
from engine.context import Context
from engine.distill.fresh import refresh
from engine.model import Model
from engine.prune.blocks import blocks, evenly
from engine.registry import technique
from engine.run import run
from pith.errors import PithError
from pith.students import kept_evenly
from tests.engine.conformance import check_same, opened
from tests.engine.test_plan import planned
from tests.engine.tiny import (
    TEACHER_ID,
    Cnn,
    Mlp,
    Regression,
    Transformer,
    arrays,
    job_folder,
    lifted,
    other_dataset,
    other_model,
    pictures,
)

STUDENT_ID, UNLABELLED_ID = "mdl_" + "3" * 26, "dts_" + "4" * 26
LOGITS = {"kind": "distill.logits"}
QUICK = {"epochs": 2, "batch_size": 32, "learning_rate": 0.01}


def context(root: Path, step: dict[str, Any], net: type[nn.Module] = Cnn, **given: Any) -> Context:
    folder = job_folder(root, [step], net=net, **given)
    other_model(folder, STUDENT_ID, Mlp, seed=7)
    other_dataset(folder, UNLABELLED_ID, {"x_train": pictures(256, 9)[0]})
    return opened(folder)


def distilled(root: Path, step: dict[str, Any], net: type[nn.Module] = Cnn, **given: Any) -> Model:
    ctx = context(root, step, net, **given)
    try:
        return technique(step["kind"])(ctx.baseline.copy(), ctx.config, ctx)
    finally:
        ctx.events.close()


def weight(model: Model) -> torch.Tensor:
    found: torch.Tensor = model.graph.state_dict()["stem.0.weight"]
    return found


def size(model: Model) -> int:
    return sum(parameter.numel() for parameter in model.graph.parameters())


def accuracy(model: Model) -> float:
    data = arrays()
    with torch.no_grad():
        (scores,) = model.run((torch.from_numpy(data["x_test"]),))
    return float((scores.argmax(1).numpy() == data["y_test"]).mean())


@pytest.mark.parametrize("init", ["pruned", "fresh"])
def test_a_narrow_student_is_made_of_the_teacher_and_learns(init: str, tmp_path: Path) -> None:
    step = {**LOGITS, **QUICK, "epochs": 8, "student": {"width": 0.5, "init": init}}
    student = distilled(tmp_path, step)
    assert weight(student).shape[0] == 8
    assert size(student) < 0.6 * size(lifted(Cnn)) and student.signature == lifted(Cnn).signature
    assert accuracy(lifted(Cnn)) < 0.6


def test_a_pruned_student_keeps_the_teachers_largest_channels_and_a_fresh_one_none(tmp_path: Path) -> None:
    slow = {**LOGITS, "learning_rate": 1e-9}
    pruned = distilled(tmp_path / "pruned", {**slow, "student": {"width": 0.5}})
    fresh = distilled(tmp_path / "fresh", {**slow, "student": {"width": 0.5, "init": "fresh"}})
    whole = weight(lifted(Cnn))
    kept = [
        any(torch.allclose(mine, theirs, atol=1e-5) for theirs in whole)
        for model in (pruned, fresh)
        for mine in weight(model)
    ]
    assert kept == [True] * 8 + [False] * 8


def test_a_shallow_student_has_evenly_chosen_blocks(tmp_path: Path) -> None:
    student = distilled(tmp_path, {**LOGITS, **QUICK, "student": {"depth": 0.5}}, net=Transformer)
    gone = evenly(blocks(lifted(Transformer)), 0.5)
    assert gone and size(student) == size(lifted(Transformer)) - sum(block.parameters for block in gone)


def test_blocks_are_spread_from_the_first_to_the_last() -> None:
    assert sorted(kept_evenly(12, 0.5)) == [0, 2, 4, 7, 9, 11]
    assert sorted(kept_evenly(5, 0.1)) == [0] and sorted(kept_evenly(3, 0.9)) == [0, 1, 2]
    for count in range(1, 40):
        for depth in (0.1, 0.25, 0.5, 0.6, 0.75, 0.9):
            assert len(kept_evenly(count, depth)) == max(1, round(depth * count))


def test_an_uploaded_student_takes_the_models_place(tmp_path: Path) -> None:
    student = distilled(tmp_path, {**LOGITS, **QUICK, "student": STUDENT_ID})
    assert size(student) == size(lifted(Mlp)) and list(student.graph.state_dict()) == list(
        lifted(Mlp).graph.state_dict()
    )
    untrained = lifted(Mlp, 7).graph.state_dict()
    assert not torch.equal(student.graph.state_dict()["layers.1.weight"], untrained["layers.1.weight"])


def test_a_named_student_is_built_and_the_job_goes_on_with_it(tmp_path: Path) -> None:
    named = {"name": "pith/lenet_5", "arguments": {"num_classes": 4}}
    recipe: list[dict[str, Any]] = [{**LOGITS, "student": STUDENT_ID}, {"kind": "prune.magnitude", "sparsity": 0.5}]
    folder = job_folder(tmp_path, recipe, net=Cnn, outputs=["onnx"])
    other_model(folder, STUDENT_ID, Mlp, seed=7)
    report = run(folder.root, engine.reload.main)
    assert report.result.get("parameters") == size(lifted(Mlp)) != report.baseline.get("parameters")
    with pytest.raises(PithError, match="inputs") as refused:
        distilled(tmp_path / "named", {**LOGITS, "student": named})
    assert "(1, 28, 28)" in refused.value.problem.detail


def test_fresh_weights_come_from_the_seed_alone() -> None:
    first, again, other = (refresh(lifted(Transformer, net), seed) for net, seed in ((0, 1), (0, 1), (0, 2)))
    check_same(first, again)
    mine, theirs = first.graph.state_dict(), other.graph.state_dict()
    drawn = [name for name in mine if mine[name].ndim > 1]
    assert drawn and not any(torch.equal(mine[name], theirs[name]) for name in drawn)
    assert not any(torch.equal(mine[name], lifted(Transformer).graph.state_dict()[name]) for name in drawn)


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a student of other outputs": ({"student": TEACHER_ID}, {"teacher": Regression}, "student gives"),
    "a width that changes nothing": ({"student": {"width": 0.9, "round_to": 64}}, {}, "wide enough"),
    "a width of no channel": ({"student": {"width": 0.01, "round_to": 1}}, {}, "raise width to 0.062 or more"),
    "a depth that changes nothing": ({"student": {"depth": 0.9}}, {}, "none can go"),
    "cache with augmentation": ({"cache": True}, {"augmentation": [{"kind": "noise", "std": 0.1}]}, "cache is true"),
    "one teacher of two with other classes": (
        {"teacher": [{"model": "baseline"}, {"model": TEACHER_ID}]},
        {"teacher": Regression},
        "both must have the same outputs",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_by_the_plan_and_by_the_engine(name: str, tmp_path: Path) -> None:
    options, given, words = REFUSED[name]
    foreseen = planned(Cnn, [{**LOGITS, **options}], **given, data=arrays())
    assert [problem.detail for problem in foreseen.problems if words in problem.detail], foreseen.problems
    with pytest.raises(PithError) as refused:
        distilled(tmp_path, {**LOGITS, **options}, data=arrays(), **given)
    assert words in refused.value.problem.detail


LENET = {"name": "pith/lenet_300_100", "input_shape": [1, 8, 8], "arguments": {"num_classes": 4}}
WRONGLY_NAMED: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "an unknown name": ({"name": "pith/lenet_6"}, "name", "architecture_unknown", "did you mean pith/lenet_5?"),
    "an unknown argument": (
        {**LENET, "arguments": {"num_clases": 4}},
        "arguments",
        "architecture_refused",
        "did you mean num_classes?",
    ),
    "an argument that is needed": (
        {"name": "pith/text_cnn", "arguments": {"num_classes": 4}},
        "arguments",
        "architecture_refused",
        "it needs vocab_size",
    ),
    "an argument that is not taken": (
        {**LENET, "arguments": {"pretrained": True}},
        "arguments",
        "architecture_refused",
        "'pretrained' is not taken",
    ),
    "other classes": ({**LENET, "arguments": {}}, "arguments", "technique_inapplicable", "(10)"),
    "another input": ({**LENET, "input_shape": None}, "input_shape", "technique_inapplicable", "(1, 28, 28)"),
    "token ids": (
        {"name": "pith/text_cnn", "arguments": {"vocab_size": 9, "num_classes": 4}},
        "name",
        "technique_inapplicable",
        "",
    ),
}


@pytest.mark.parametrize("case", WRONGLY_NAMED)
def test_a_named_student_that_cannot_be_is_refused_by_the_plan_and_by_the_engine(case: str, tmp_path: Path) -> None:
    student, place, code, words = WRONGLY_NAMED[case]
    foreseen = planned(Cnn, [{**LOGITS, "student": student}])
    found = [(problem.errors[0].pointer, problem.code) for problem in foreseen.problems]
    assert found == [(f"/recipe/0/student/{place}", code)]
    with pytest.raises(PithError) as refused:
        distilled(tmp_path, {**LOGITS, "student": student})
    assert refused.value.code == code
    assert words in foreseen.problems[0].detail and words in refused.value.problem.detail


def test_a_named_student_that_fits_is_planned_and_built(tmp_path: Path) -> None:
    foreseen = planned(Cnn, [{**LOGITS, "student": LENET}])
    assert foreseen.possible and "sent as a model and named by its id" in foreseen.steps[0].notes[0]
    assert size(distilled(tmp_path, {**LOGITS, "student": LENET})) == 64 * 300 + 300 + 300 * 100 + 100 + 4 * 101


def test_the_plan_foresees_the_size_of_a_student(tmp_path: Path) -> None:
    for student, net in (({"width": 0.5}, Cnn), ({"depth": 0.5}, Transformer)):
        (step,) = planned(net, [{**LOGITS, "student": student}]).steps
        left = size(distilled(tmp_path / net.__name__, {**LOGITS, "student": student}, net=net))
        assert step.parameters.after == pytest.approx(left, rel=0.15)


def asked_of(root: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[Model, int]:
    """The student, and how many samples its teacher was asked about."""
    count, ask = 0, engine.distill.answers.Teacher.ask

    def counting(self: engine.distill.answers.Teacher, inputs: tuple[torch.Tensor, ...]) -> Any:
        nonlocal count
        count += len(inputs[0])
        return ask(self, inputs)

    with monkeypatch.context() as patch:
        patch.setattr(engine.distill.answers.Teacher, "ask", counting)
        return distilled(root, {**LOGITS, **QUICK, "teacher": TEACHER_ID, **options}, teacher=Transformer), count


def test_kept_answers_are_asked_once_and_teach_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    each, twice = asked_of(tmp_path / "each", monkeypatch, cache=False)
    kept, once = asked_of(tmp_path / "kept", monkeypatch, cache="auto")
    monkeypatch.setattr(engine.distill.answers, "IN_MEMORY_BYTES", 0)
    filed, _ = asked_of(tmp_path / "filed", monkeypatch, cache=True)
    assert (twice, once) == (2 * 192 + 2, 192 + 2)
    check_same(kept, filed)
    for name, weight in each.graph.state_dict().items():
        assert torch.allclose(weight, kept.graph.state_dict()[name], atol=1e-2), name


def test_one_epoch_or_augmentation_keeps_no_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, once = asked_of(tmp_path / "one", monkeypatch, epochs=1)
    assert once == 192 + 2 and not list((tmp_path / "one").rglob("answers-*"))


def test_teachers_count_by_their_weights(tmp_path: Path) -> None:
    """A teacher with all the weight is as good as alone; a second one of equal weight is heard."""
    alone = {**LOGITS, **QUICK, "cache": False, "hard_label_weight": 0, "teacher": TEACHER_ID}
    both = [{"model": TEACHER_ID, "weight": 1000}, {"model": "baseline", "weight": 1e-9}]
    even = [{"model": TEACHER_ID}, {"model": "baseline"}]
    one, most, half = (
        distilled(tmp_path / str(at), {**alone, "teacher": teacher}, teacher=Transformer).graph.state_dict()
        for at, teacher in enumerate((TEACHER_ID, both, even))
    )
    assert all(torch.allclose(one[name], most[name], atol=1e-3) for name in one)
    assert not all(torch.allclose(one[name], half[name], atol=1e-3) for name in one)


@pytest.mark.parametrize("kind", ["distill.logits", "distill.decoupled", "distill.contrastive", "distill.adversarial"])
def test_unlabelled_samples_are_learnt_from(kind: str, tmp_path: Path) -> None:
    """A teacher that knows the classes teaches them from samples without labels alone: the labels here are wrong."""
    data = arrays()
    few = {**data, "x_train": data["x_train"][:4], "y_train": (data["y_train"][:4] + 1) % 4}
    teacher = taught_teacher(tmp_path / "teacher")
    step = {"kind": kind, **QUICK, "epochs": 12, "teacher": TEACHER_ID, "hard_label_weight": 0.01}
    found = []
    for name, more in (("few", {}), ("more", {"unlabelled": UNLABELLED_ID})):
        folder = job_folder(tmp_path / name, [{**step, **more}], net=Mlp, data=few)
        other_dataset(folder, UNLABELLED_ID, {"x_train": pictures(256, 9)[0]})
        target = folder.other_input(TEACHER_ID, "model.pt2")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(teacher.read_bytes())
        ctx = opened(folder)
        found.append(accuracy(technique(kind)(ctx.baseline.copy(), ctx.config, ctx)))
        ctx.events.close()
    assert found[1] > 0.9 > found[0]


def test_samples_without_labels_have_none_and_not_those_of_the_first_class(tmp_path: Path) -> None:
    data = arrays()
    few = {**data, "x_train": data["x_train"][:8], "y_train": data["y_train"][:8]}
    step = {**LOGITS, **QUICK, "epochs": 12, "teacher": TEACHER_ID, "hard_label_weight": 0.9}
    folder = job_folder(tmp_path / "job", [{**step, "unlabelled": UNLABELLED_ID}], net=Mlp, data=few, teacher=Mlp)
    other_dataset(folder, UNLABELLED_ID, {"x_train": pictures(256, 9)[0]})
    folder.other_input(TEACHER_ID, "model.pt2").write_bytes(taught_teacher(tmp_path / "teacher").read_bytes())
    ctx = opened(folder)
    student = technique("distill.logits")(ctx.baseline.copy(), ctx.config, ctx)
    ctx.events.close()
    assert accuracy(student) > 0.9


def taught_teacher(root: Path) -> Path:
    ctx = opened(job_folder(root, [{"kind": "finetune.full", **QUICK, "epochs": 8}], net=Mlp))
    model = technique("finetune.full")(ctx.baseline.copy(), ctx.config, ctx)
    ctx.events.close()
    assert accuracy(model) > 0.9
    path = root / "taught.pt2"
    torch.export.save(model.program(), path)
    return path


def test_labels_of_an_unlabelled_dataset_are_never_read(tmp_path: Path) -> None:
    found = []
    for label in range(2):
        ctx = context(tmp_path / str(label), {**LOGITS, **QUICK, "unlabelled": UNLABELLED_ID})
        y = np.full(256, label, np.int64)
        other_dataset(ctx.folder, UNLABELLED_ID, {"x_train": pictures(256, 9)[0], "y_train": y})
        found.append(technique("distill.logits")(ctx.baseline.copy(), ctx.config, ctx))
        ctx.events.close()
    check_same(*found)
