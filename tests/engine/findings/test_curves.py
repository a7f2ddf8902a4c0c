"""Training curves: of every training, each epoch once, whatever was resumed and redone."""

import json
from pathlib import Path
from typing import Any

import pytest

import engine.reload
from engine.checkpoint import Checkpoints
from engine.curves import MOST, Curves
from engine.run import run
from pith.findings.curves import Curve
from pith.report import Report
from tests.engine.tiny import Mlp, Regression, job_folder

RECIPE: list[dict[str, Any]] = [
    {"kind": "prune.channel", "iterations": 2, "recovery": {"epochs": 2}},
    {"kind": "finetune.full", "epochs": 3},
]


class Stopped(Exception):
    pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = job_folder(tmp_path_factory.mktemp("whole"), RECIPE, net=Mlp, outputs=["onnx"], report="short")
    return run(folder.root, engine.reload.main)


def test_each_training_of_each_step_has_a_curve_of_each_figure(whole: Report) -> None:
    places = [(curve.step, curve.phase, curve.name, [x for x, _ in curve.points]) for curve in whole.curves]
    judged = "accuracy on 64 training samples"
    two, three = [1.0, 2.0], [1.0, 2.0, 3.0]
    assert places == [
        (step, phase, name, epochs)
        for step, phase, epochs in ((0, 0, two), (0, 1, two), (1, 0, three))
        for name in (judged, "loss")
    ]
    assert all(0 <= value <= 1 for curve in whole.curves if curve.name == judged for _, value in curve.points)


def test_an_epoch_that_was_redone_counts_once_without_the_events_of_the_attempt_before(
    tmp_path: Path, whole: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = job_folder(tmp_path, RECIPE, net=Mlp, outputs=["onnx"], report="short", checkpoint_seconds=0)
    save, count = Checkpoints.save, iter(range(10_000))

    def stopping(self: Checkpoints, *given: Any, **named: Any) -> None:
        if next(count) in (3, 7, 12):
            raise Stopped
        save(self, *given, **named)

    monkeypatch.setattr(Checkpoints, "save", stopping)
    for _ in range(3):
        with pytest.raises(Stopped):
            run(folder.root, engine.reload.main)
        lines = folder.events.read_text()
        folder.events.unlink()
    assert '"epoch":' in lines, "the attempt before the last has ended an epoch"
    found = run(folder.root, engine.reload.main).curves
    assert [curve.model_copy(update={"resumed": ()}) for curve in found] == list(whole.curves)
    resumed = [(curve.step, curve.phase, curve.resumed) for curve in found if curve.resumed]
    assert resumed and all(0 < at <= 3 for *_, ends in resumed for at in ends)
    assert not any(curve.resumed for curve in whole.curves)


def test_what_has_no_classes_has_a_loss_alone(tmp_path: Path) -> None:
    recipe = [{"kind": "finetune.full", "epochs": 2}]
    report = run(
        job_folder(tmp_path, recipe, net=Regression, outputs=["onnx"], report="short").root, engine.reload.main
    )
    assert [(curve.name, len(curve.points)) for curve in report.curves] == [("loss", 2)]


def test_a_job_that_trains_nothing_says_so(tmp_path: Path) -> None:
    folder = job_folder(
        tmp_path, [{"kind": "quantize.weight_only"}], net=Mlp, data=None, outputs=["onnx"], report="short"
    )
    report = run(folder.root, engine.reload.main)
    assert report.curves == () and report.left_out["curves"] == "no step trained the model"


@pytest.mark.parametrize(("epochs", "phases"), [(1, 1), (400, 1), (401, 1), (10_000, 1), (1000, 100)])
def test_a_long_training_has_few_points_the_first_and_the_last_among_them(epochs: int, phases: int) -> None:
    curves = Curves()
    for epoch in range(1, epochs + 1):
        curves.record((0, 0), "loss", epoch, 1 / epoch, epochs, phases)
    (curve,) = curves.drawn()
    assert curve.points[0][0] == 1 and curve.points[-1][0] == epochs
    assert len(curve.points) <= MOST // phases + 2 and (len(curve.points) == epochs or epochs * phases > MOST)


def test_the_later_of_two_replaces_the_earlier_and_what_is_no_number_is_not_drawn() -> None:
    curves = Curves([Curve(step=1, phase=2, name="loss", points=((1.0, 5.0), (2.0, 4.0)))])
    curves.record((1, 2), "loss", 2, 3.0, 3)
    curves.record((1, 2), "loss", 3, float("nan"), 3)
    assert curves.drawn() == (Curve(step=1, phase=2, name="loss", points=((1.0, 5.0), (2.0, 3.0))),)
    assert Curves(curves.drawn()).drawn() == curves.drawn()
    curves.resume(1, 2)
    assert curves.drawn()[0].resumed == (2.0,) and Curves(curves.drawn()).drawn() == curves.drawn()
    assert json.loads(curves.drawn()[0].model_dump_json())["points"] == [[1.0, 5.0], [2.0, 3.0]]
