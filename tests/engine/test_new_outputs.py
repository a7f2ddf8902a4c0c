"""Jobs with a step that gives the model other outputs: what is compared with what, and what is refused before it."""

from pathlib import Path
from typing import Any

import pytest
from torch import nn

import engine.reload
from engine.run import run
from pith.errors import PithError
from pith.report import Report
from tests.engine.conformance import opened
from tests.engine.finetune.test_head import pairs
from tests.engine.test_plan import planned
from tests.engine.tiny import Cnn, Regression, arrays, job_folder

HEAD: dict[str, Any] = {"kind": "finetune.head", "epochs": 12, "learning_rate": 0.01, "batch_size": 32}
PRUNE: dict[str, Any] = {"kind": "prune.magnitude", "sparsity": 0.3}
DROP = {"max_metric_drop": 0.5}


def reported(root: Path, recipe: list[dict[str, Any]], net: type[nn.Module] = Cnn, **given: Any) -> Report:
    data = given.pop("data", pairs())
    folder = job_folder(root, recipe, net=net, data=data, outputs=["onnx"], **given)
    return run(folder.root, reload=engine.reload.main)


def test_a_head_at_the_end_is_reported_alone(tmp_path: Path) -> None:
    report = reported(tmp_path, [HEAD])
    accuracy = report.result.get("accuracy")
    assert accuracy is not None and accuracy > 0.8
    assert report.baseline.get("accuracy") is None and report.baseline.get("agreement") is None
    assert report.comparison.quality_since == 0 and report.comparison.quality_drop is None
    assert report.headline[-1] == (
        f"Accuracy {accuracy:.4f} on 64 samples of the test split; the baseline cannot be asked, "
        "its outputs are not those that recipe[0] made."
    )
    assert report.verdict == "unconstrained"


def test_what_follows_a_head_is_compared_with_the_model_behind_it(tmp_path: Path) -> None:
    report = reported(tmp_path, [HEAD, {**PRUNE, "sparsity": 0.9}], constraints=DROP)
    behind, after = report.steps[0].after.get("accuracy"), report.result.get("accuracy")
    assert behind is not None and after is not None and behind > after
    (constraint,) = report.constraints
    assert constraint.value == pytest.approx(behind - after) == report.comparison.quality_drop
    assert report.comparison.quality_since == 0 and report.steps[0].after.get("agreement") == 1
    (said,) = (each for each in report.headline if each.startswith("Accuracy"))
    assert f"Accuracy {behind:.4f} → {after:.4f}" in said
    assert said.endswith("The first number is of the model after recipe[0], which gave it these outputs.")


def test_a_head_with_as_many_outputs_as_before_is_no_less_new(tmp_path: Path) -> None:
    report = reported(tmp_path, [HEAD, PRUNE], data=arrays())
    assert report.comparison.quality_since == 0 and report.baseline.get("accuracy") is None


def test_classes_after_numbers_are_measured_as_classes(tmp_path: Path) -> None:
    data = {name: array for name, array in pairs().items() if name != "y_test"}
    recipe = [HEAD, PRUNE]
    report = reported(tmp_path, recipe, Regression, data=data, constraints=DROP)
    foreseen = planned(Regression, recipe, data=data, constraints=DROP)
    assert foreseen.possible, foreseen.problems
    assert foreseen.quality is not None
    assert report.comparison.quality == foreseen.quality.metric == "agreement" and len(report.constraints) == 1


REFUSED: dict[str, tuple[list[dict[str, Any]], dict[str, Any], str, str]] = {
    "a drop from nothing": ([HEAD], {"constraints": DROP}, "/constraints/max_metric_drop", "leave the constraint out"),
    "training before the head": ([{"kind": "finetune.full"}, HEAD], {}, "/recipe/0", "classes"),
    "training after a head of fewer": (
        [HEAD | {"classes": 6}, {"kind": "finetune.head", "classes": 5}],
        {},
        "/recipe/1/classes",
        "the dataset has 6",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_by_the_plan_and_by_the_engine(name: str, tmp_path: Path) -> None:
    recipe, given, place, said = REFUSED[name]
    foreseen = planned(Cnn, recipe, data=pairs(), **given)
    (problem,) = foreseen.problems
    assert problem.errors[0].pointer == place and said in problem.detail
    with pytest.raises(PithError) as refusal:
        reported(tmp_path, recipe, **given)
    assert refusal.value.code == problem.code and said in refusal.value.problem.detail


def test_steps_before_the_head_may_do_without_labels(tmp_path: Path) -> None:
    recipe = [PRUNE, HEAD]
    assert planned(Cnn, recipe, data=pairs()).possible
    assert reported(tmp_path, recipe).comparison.quality_since == 1


def test_labels_without_outputs_are_refused_where_no_step_brings_them(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, [PRUNE], data=pairs())
    with pytest.raises(PithError, match="dataset_mismatch"):
        opened(folder)
    (problem,) = planned(Cnn, [PRUNE], data=pairs()).problems
    assert problem.errors[0].pointer == "/dataset"


def test_a_teacher_with_the_old_outputs_is_refused(tmp_path: Path) -> None:
    recipe = [HEAD, {"kind": "distill.logits"}]
    (problem,) = planned(Cnn, recipe, data=pairs()).problems
    with pytest.raises(PithError) as refusal:
        reported(tmp_path, recipe)
    assert problem.code == refusal.value.code == "teacher_mismatch"


def test_the_foreseen_model_is_the_one_that_comes(tmp_path: Path) -> None:
    foreseen = planned(Cnn, [HEAD, PRUNE], data=pairs())
    report = reported(tmp_path, [HEAD, PRUNE])
    assert foreseen.steps[0].parameters.after == report.steps[0].after.get("parameters")
