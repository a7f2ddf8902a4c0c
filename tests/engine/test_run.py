"""The one door: a job folder in, results and an event stream out."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

import engine.reload
from engine.checkpoint import Checkpoints
from engine.jobdir import JobDir
from engine.main import main
from engine.position import Position
from engine.reload import read_arrays, write_arrays
from engine.run import run
from engine.session import open_session
from pith.errors import PithError, Problem
from pith.job import EngineEvent
from pith.notes import Foreseen
from pith.report import Report
from tests.engine.tiny import (
    TEACHER_ID,
    Cnn,
    Mlp,
    Regression,
    Tokens,
    Transformer,
    TwoHeads,
    arrays,
    job_folder,
    pictures,
    sentences,
)
from worker.sandbox import Policy
from worker.warm_client import Child, End, WarmServer

SECONDS = 600
RECIPE: list[dict[str, Any]] = [
    {"kind": "prune.channel", "pruning_ratio": 0.5, "round_to": 4, "iterations": 2, "recovery": {"epochs": 2}},
    {"kind": "distill.logits", "temperature": 4, "epochs": 3, "hard_label_weight": 0.9, "learning_rate": 0.01},
    {"kind": "quantize.static"},
]


def events(folder: JobDir) -> list[EngineEvent]:
    return [EngineEvent.model_validate_json(line) for line in folder.events.read_text().splitlines()]


def test_whole_recipe_with_every_output_reloaded_by_a_new_interpreter(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, RECIPE, constraints={"max_metric_drop": 0.5, "min_compression_ratio": 2})
    report = run(folder.root)
    assert report == Report.model_validate_json(folder.report_json.read_bytes())
    assert report.verdict == "met" and [step.kind for step in report.steps] == [step["kind"] for step in RECIPE]
    sizes = [report.baseline.get("size_bytes"), *(step.after.get("size_bytes") for step in report.steps)]
    assert sizes[0] > sizes[1] > sizes[3] and sizes[1] == sizes[2]
    assert report.result == report.steps[-1].after
    changes = [step.change for step in report.steps]
    assert all(change is not None and change.quality_drop_interval is not None for change in changes)
    drops = [change.quality_drop for change in changes if change is not None]
    assert sum(drops) == pytest.approx(report.comparison.quality_drop), "each begins where the one before it ended"
    assert len({change.speedup_interval for change in changes if change is not None}) == 3
    assert report.result.get("macs") < report.baseline.get("macs")
    assert report.result.get("accuracy") > 0.6, "the classes are separable, and training was real"
    for output in report.outputs:
        assert folder.output(output.format).stat().st_size == output.size_bytes
        assert output.agreement_with_result > 0.9
    assert report.outputs[0].size_bytes == report.result.get("size_bytes"), "what is weighed is what is handed out"
    assert not folder.scratch.exists() and not folder.checkpoint.exists() and not folder.error.exists()


def test_events_tell_the_story_in_order_and_progress_only_grows(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, RECIPE, net=Mlp, outputs=["onnx"])
    run(folder.root, engine.reload.main)
    told = [(event.type, event.step) for event in events(folder) if event.type.startswith("step_")]
    assert told == [(kind, step) for step in range(3) for kind in ("step_started", "step_finished")]
    fractions = [event.data["fraction"] for event in events(folder) if event.type == "progress"]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def test_the_page_holds_the_numbers_and_nothing_from_outside(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, [{"kind": "quantize.dynamic"}], net=Mlp, constraints={"min_speedup": 1000})
    report = run(folder.root, engine.reload.main)
    page = folder.report_html.read_text()
    assert report.verdict == "not_met" and "The constraint is not met" in page
    assert report.headline[0] in page.replace("&#39;", "'")
    assert "http://" not in page and "https://" not in page and "<script" not in page


def test_without_a_dataset_quality_is_the_noise_against_the_baseline(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, [{"kind": "quantize.dynamic"}], net=Transformer, data=None, outputs=["safetensors"])
    report = run(folder.root, engine.reload.main)
    assert report.comparison.quality is None and 20 < report.result.get("sqnr_db") < 80
    assert report.baseline.get("sqnr_db") is None and report.comparison.measured_on == "random inputs"
    assert "Signal to noise" in folder.report_html.read_text()
    assert report.comparison.compression_ratio > 2, "the safetensors file itself is weighed"


def test_what_the_plan_said_is_in_the_report(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, [{"kind": "quantize.weight_only"}, {"kind": "encode.entropy"}], data=None)
    said = Foreseen(job=("The whole is odd.",), steps=(("Its bits <are> few.",), ()))
    folder.spec.write_text(folder.read().model_copy(update={"foreseen": said}).model_dump_json())
    report = run(folder.root, engine.reload.main)
    assert report.foreseen == said.job and tuple(step.foreseen for step in report.steps) == said.steps
    assert report.steps[0].notes and "Its bits <are> few." not in report.steps[0].notes
    page = folder.report_html.read_text()
    assert "The whole is odd." in page and "Its bits &lt;are&gt; few." in page


def test_unlabelled_data_calibrates_distils_and_measures_agreement(tmp_path: Path) -> None:
    recipe = [{"kind": "distill.logits", "epochs": 1}, {"kind": "quantize.static"}]
    folder = job_folder(tmp_path, recipe, net=Mlp, data={"x": pictures(64, 3)[0]}, outputs=["onnx"])
    report = run(folder.root, engine.reload.main)
    assert report.comparison.quality == "agreement" and report.baseline.get("agreement") == 1.0
    assert report.baseline.get("accuracy") is None


def test_labels_of_the_training_split_are_never_what_quality_is_measured_on(tmp_path: Path) -> None:
    data = {name: value for name, value in arrays().items() if name.endswith("train")}
    schema = {"shares": {"test": 0}}
    folder = job_folder(tmp_path, [{"kind": "quantize.static"}], net=Mlp, data=data, schema=schema, outputs=["onnx"])
    report = run(folder.root, engine.reload.main)
    assert report.comparison.quality == "agreement" and report.baseline.get("accuracy") is None
    assert report.comparison.measured_on == "training inputs" and "no x_test" in " ".join(report.headline)
    assert re.search(r"\d predictions? changed", " ".join(report.headline))
    assert report.baseline.get("macs") == 64 * 32 + 32 * 4 and report.baseline.get("parameters") == 65 * 32 + 33 * 4


def test_another_model_may_teach(tmp_path: Path) -> None:
    step = {"kind": "distill.logits", "teacher": TEACHER_ID, "epochs": 4, "hard_label_weight": 0, "learning_rate": 0.01}
    folder = job_folder(tmp_path, [step], net=Mlp, teacher=Cnn, outputs=["onnx"])
    report = run(folder.root, engine.reload.main)
    assert report.result.get("agreement") < 1, "it learned something that its own baseline did not know"


def test_pruned_zeros_survive_later_training(tmp_path: Path) -> None:
    recipe = [{"kind": "prune.magnitude", "sparsity": 0.8}, {"kind": "finetune.full", "epochs": 2}]
    folder = job_folder(tmp_path, recipe, net=Mlp, outputs=["safetensors"])
    report = run(folder.root, engine.reload.main)
    weight = load_file(folder.output("safetensors"))["layers.1.weight"]
    assert abs(float((weight == 0).mean()) - 0.8) < 0.01
    assert report.result.get("nonzero_parameters") < 0.25 * report.baseline.get("nonzero_parameters")


@pytest.fixture(scope="module")
def server() -> Iterator[WarmServer]:
    server = WarmServer(preload=())
    yield server
    server.close()


def test_a_run_that_was_killed_in_training_resumes_to_the_same_bits(tmp_path: Path, server: WarmServer) -> None:
    recipe = [RECIPE[0], {**RECIPE[1], "epochs": 12}]
    whole = job_folder(tmp_path / "whole", recipe, outputs=["safetensors"])
    run(whole.root, engine.reload.main)
    cut = job_folder(tmp_path / "cut", recipe, outputs=["safetensors"], checkpoint_seconds=0)
    for wanted in ((0, "epoch 1 of 2"), (1, "epoch 3 of 12")):
        _run_until(server, cut, *wanted)
        assert not cut.report_json.exists() and (cut.checkpoint / "position.json").exists()
    first_part = len(events(cut))
    assert server.start(_policy(cut)).wait(SECONDS) == End(code=0)
    assert ("step_started", 0) not in [(event.type, event.step) for event in events(cut)[first_part:]]
    _same_weights(whole, cut)
    report = Report.model_validate_json(cut.report_json.read_bytes())
    assert [step.kind for step in report.steps] == ["prune.channel", "distill.logits"]


def test_a_run_that_is_asked_to_stop_leaves_a_checkpoint_and_resumes_to_the_same_bits(
    tmp_path: Path, server: WarmServer
) -> None:
    recipe = [{**RECIPE[1], "epochs": 2}, {**RECIPE[0], "recovery": {"epochs": 12}}]
    whole = job_folder(tmp_path / "whole", recipe, outputs=["safetensors"])
    run(whole.root, engine.reload.main)
    cut = job_folder(tmp_path / "cut", recipe, outputs=["safetensors"], checkpoint_seconds=0.05)
    child = server.start(_policy(cut))
    for event in _following(cut.events, 0, child):
        if event.step == 1 and event.message.startswith("epoch 2 of 12: loss"):
            break
    cut.stop.touch()
    assert child.wait(SECONDS) == End(code=75)
    assert Position.model_validate_json((cut.checkpoint / "position.json").read_bytes()).step == 1
    assert not cut.report_json.exists() and not cut.error.exists()
    assert server.start(_policy(cut)).wait(SECONDS) == End(code=75), "it is still asked to"
    cut.stop.unlink()
    assert server.start(_policy(cut)).wait(SECONDS) == End(code=0)
    _same_weights(whole, cut)


def test_a_checkpoint_of_another_version_is_begun_anew(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, [RECIPE[0]], outputs=["safetensors"])
    folder.checkpoint.mkdir(parents=True)
    (folder.checkpoint / "position.json").write_text('{"step": 0, "phase": 0, "training": true}')
    assert [step.kind for step in run(folder.root, engine.reload.main).steps] == ["prune.channel"]


def _same_weights(one: JobDir, other: JobDir) -> None:
    ours, theirs = (load_file(folder.output("safetensors")) for folder in (one, other))
    assert ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)


def _policy(folder: JobDir) -> Policy:
    return Policy(job_dir=folder.root, confine=False, memory_bytes=3 << 30)


def _run_until(server: WarmServer, folder: JobDir, step: int, message: str) -> None:
    """Run the engine in a process of its own and kill it when that line appears."""
    seen = len(folder.events.read_text().splitlines()) if folder.events.exists() else 0
    child = server.start(_policy(folder))
    try:
        for event in _following(folder.events, seen, child):
            if event.step == step and event.message.startswith(f"{message}: loss"):
                return
        raise AssertionError("the run ended before it could be killed")
    finally:
        child.kill()


def _following(path: Path, skip: int, child: Child) -> Iterator[EngineEvent]:
    deadline = time.monotonic() + SECONDS
    while child.wait(0) is None and time.monotonic() < deadline:
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        for line in lines[skip:]:
            yield EngineEvent.model_validate_json(line)
        skip = max(skip, len(lines))
        time.sleep(0.005)


def _quietly() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


ENDS = [
    {"kind": "prune.channel", "round_to": 4, "recovery": {"epochs": 10, "learning_rate": 0.01, "batch_size": 32}},
    {"kind": "distill.logits", "epochs": 2, "hard_label_weight": 1, "learning_rate": 0.003, "batch_size": 32},
    {"kind": "quantize.dynamic"},
]


def test_two_inputs_go_the_whole_way(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, ENDS, net=Tokens, constraints={"max_metric_drop": 0.5})
    report = run(folder.root, engine.reload.main)
    assert report.comparison.quality == "accuracy" and report.result.get("accuracy") > 0.9
    assert [value.name for value in open_session(folder.output("onnx"), 1).get_inputs()] == ["ids", "mask"]
    assert all(output.agreement_with_result > 0.9 for output in report.outputs)


def test_two_outputs_go_the_whole_way_and_the_second_is_looked_at_too(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, ENDS, net=TwoHeads)
    report = run(folder.root, engine.reload.main)
    assert report.comparison.quality == "accuracy" and report.result.get("accuracy") > 0.9
    assert report.result.get("sqnr_db") < report.steps[0].after.get("sqnr_db") + 100 and not report.baseline.get(
        "sqnr_db"
    )
    assert [value.name for value in open_session(folder.output("onnx"), 1).get_outputs()] == ["scores", "rows"]


def test_regression_goes_the_whole_way(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, ENDS, net=Regression, constraints={"max_metric_drop": 0.1})
    report = run(folder.root, engine.reload.main)
    comparison = report.comparison
    assert comparison.quality == "r2" and report.result.get("r2") > 0.8 > (report.baseline.get("r2") or 0)
    assert report.result.get("rmse") < report.baseline.get("rmse") and report.result.get("mae") > 0
    assert comparison.quality_drop < comparison.quality_drop_interval[1] < 0 and report.verdict == "met"
    assert (
        any(each.startswith("R² -") for each in report.headline)
        and "explained part of the variance" in folder.report_html.read_text()
    )


class _Stopped(Exception):
    pass


@pytest.mark.parametrize("net", [Tokens, TwoHeads, Regression])
def test_every_kind_of_end_resumes_to_the_same_bits(
    net: type[nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = [{**ENDS[0], "iterations": 2, "recovery": {"epochs": 2}}]
    whole = job_folder(tmp_path / "whole", recipe, net=net, outputs=["safetensors"])
    run(whole.root, engine.reload.main)
    cut = job_folder(tmp_path / "cut", recipe, net=net, outputs=["safetensors"], checkpoint_seconds=0)
    save, count = Checkpoints.save, iter(range(100))

    def stopping(self: Checkpoints, *given: Any, **named: Any) -> None:
        save(self, *given, **named)
        if next(count) in (1, 4):
            raise _Stopped

    monkeypatch.setattr(Checkpoints, "save", stopping)
    for _ in range(2):
        with pytest.raises(_Stopped):
            run(cut.root, engine.reload.main)
    run(cut.root, engine.reload.main)
    _same_weights(whole, cut)


def _mismatched(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**arrays(), **changes}.items() if value is not None}


X, Y = pictures(64, 9)
BAD_DATA: list[tuple[dict[str, Any], str, str]] = [
    (
        _mismatched(x_train=X[:, :, :7], y_train=Y),
        "dataset_mismatch",
        "and x_train of fractions of the shape (1, 7, 8)",
    ),
    ({"x_train": X[:, :, :7]}, "dataset_mismatch", "x_train has the shape (64, 1, 7, 8)"),
    (_mismatched(x_train=X[:5]), "dataset_mismatch", "192 labels for 5 samples"),
    (_mismatched(y_test=Y + 1), "dataset_mismatch", "the model has the classes 0 to 3"),
    (_mismatched(y_test=Y.astype(np.float32)), "dataset_mismatch", "y_test has samples of fractions"),
    ({"x_test": X, "y_test": np.eye(4, dtype=np.int64)[Y]}, "dataset_mismatch", "take argmax(axis=1)"),
    ({"x_test": X, "y_test": np.stack([Y + 0.5] * 3, 1)}, "dataset_mismatch", "labels are one class number a sample"),
    (_mismatched(x_train=(X * 20).astype(np.uint8)[:0], y_train=Y[:0]), "dataset_empty", "x_train has no samples"),
    (_mismatched(x_test=(X * 20).astype(np.uint8)), "dataset_mismatch", "x_test has samples of integers"),
    ({"x_test": (X * 20).astype(np.uint8)}, "dataset_mismatch", "takes fractions; scale it as in training and save it"),
    (_mismatched(x_test=np.where(X > 1, np.nan, X)), "dataset_mismatch", "NaN"),
    (_mismatched(x_train=None), "dataset_mismatch", "there is no x_train"),
    (_mismatched(picture=X), "dataset_mismatch", "picture is no array of a dataset"),
    ({"y_test": Y}, "dataset_mismatch", "there is no x_test"),
    (_mismatched(x=X), "dataset_mismatch", "x stands beside x_train"),
    (_mismatched(x_train=X, y_train=None), "dataset_split_missing", "has only unlabelled train and test"),
    ({"x_test": X, "y_test": Y}, "dataset_split_missing", "has only test"),
]


IDS, MASK, CLASS = sentences(9, 3)
BAD_PAIRS: list[tuple[dict[str, Any], str]] = [
    (
        {"x_train": IDS, "y_train": CLASS},
        "'ids' of the model is not in the dataset, which has x; name the arrays x_train__ids",
    ),
    ({"x_train__ids": IDS, "y_train": CLASS}, "the input 'mask' of the model is not in the dataset, which has ids"),
    (
        {"x_train__mask": MASK[:5], "x_train__ids": IDS, "y_train": CLASS},
        "x_train__ids has 9 samples for 5 samples",
    ),
    ({"x_train__ids": IDS, "x_train__mask": MASK, "x_train__more": MASK}, "column 'more' is no input of the model"),
    ({"x_train__ids": IDS, "x_train": IDS}, "x stands beside an array of the input 'ids'"),
    ({"x_train__ids": IDS, "x_train__mask": MASK, "x_test__ids": IDS}, "x_test__mask is missing"),
    ({"x_train__ids": IDS.astype(np.float32), "x_train__mask": MASK}, "x_train__ids has the dtype float32"),
    ({"x__ids": IDS, "x__mask": MASK, "x_train__ids": IDS, "x_train__mask": MASK}, "stands beside x_train__ids"),
    ({"y_train": CLASS, "x_test__ids": IDS, "x_test__mask": MASK}, "there is no x_train__ids"),
]


@pytest.mark.parametrize(("data", "said"), BAD_PAIRS)
def test_data_of_several_inputs_that_does_not_fit_is_refused_in_words(
    data: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(PithError, match="dataset_mismatch") as caught:
        run(job_folder(tmp_path, [{"kind": "finetune.full"}], net=Tokens, data=data).root)
    assert said in caught.value.problem.detail


def test_targets_of_another_shape_than_the_output_are_refused(tmp_path: Path) -> None:
    data = arrays(Regression)
    wide = np.concatenate([data["y_train"]] * 2, 1)
    for index, (changed, said) in enumerate(
        (
            ({"y_train": wide}, "and y_train of fractions of the shape (2,)"),
            ({"y_train": wide, "y_test": wide, "x_test": data["x_train"]}, "y_train has the shape (192, 2)"),
            ({"y_train": data["y_train"] * np.nan}, "y_train holds NaN"),
            (
                {"y_train": np.zeros(192, np.int64)},
                "y_test has samples of fractions of the shape (1,), and y_train of integers",
            ),
        )
    ):
        recipe, root = [{"kind": "finetune.full"}], tmp_path / str(index)
        with pytest.raises(PithError, match="dataset_mismatch") as caught:
            run(job_folder(root, recipe, net=Regression, data={**data, **changed}).root)
        assert said in caught.value.problem.detail


@pytest.mark.parametrize(("data", "code", "said"), BAD_DATA)
def test_data_that_does_not_fit_is_refused_in_words(data: dict[str, Any], code: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(PithError) as caught:
        run(job_folder(tmp_path, [{"kind": "finetune.full"}], net=Mlp, data=data).root)
    assert caught.value.code == code and said in caught.value.problem.detail
    assert not JobDir(tmp_path).report_json.exists()


def test_an_error_is_left_as_a_problem(tmp_path: Path) -> None:
    recipe = [{"kind": "finetune.full", "learning_rate": 10, "optimizer": "sgd"}]
    folder = job_folder(tmp_path, recipe, net=Mlp, data=_mismatched(x_train=arrays()["x_train"] * 1e25))
    assert main(folder.root) == 1
    problem = Problem.model_validate_json(folder.error.read_bytes())
    assert problem.code == "training_diverged" and "it was 10" in problem.detail


def test_a_defect_of_ours_is_called_one(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, [{"kind": "finetune.full"}], net=Mlp)
    folder.spec.write_text("{}")
    assert main(folder.root) == 1
    assert json.loads(folder.error.read_text())["code"] == "engine_fault"


def test_a_quantized_result_cannot_be_trained_again_and_says_so(tmp_path: Path) -> None:
    first = job_folder(tmp_path / "first", [{"kind": "quantize.dynamic"}], net=Mlp, outputs=["pt2"])
    run(first.root, engine.reload.main)
    second = job_folder(tmp_path / "second", [{"kind": "finetune.full"}], net=Mlp)
    first.output("pt2").replace(second.model)
    with pytest.raises(PithError, match="model_finished"):
        run(second.root, engine.reload.main)


def test_a_constraint_on_quality_needs_a_quality(tmp_path: Path) -> None:
    flat = {name: value for name, value in arrays().items() if name.startswith("x")}
    limits = {"max_metric_drop": 0.1}
    folder = job_folder(tmp_path, [{"kind": "quantize.static"}], net=Mlp, data=flat, constraints=limits)
    report = run(folder.root, engine.reload.main)
    assert report.comparison.quality == "agreement" and report.constraints[0].name == "max_metric_drop"


def test_outputs_that_do_not_reload_fail_the_job(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, [{"kind": "finetune.full"}], net=Mlp)

    def damaged(desk: Path) -> int:
        code = engine.reload.main(desk)
        write_arrays(desk / "onnx.npz", tuple(array + 1 for array in read_arrays(desk / "onnx.npz")))
        return code

    for reload, said in ((damaged, "outputs that differ by 1"), (lambda desk: 3, "its own end, with exit code 3")):
        with pytest.raises(PithError, match="reload_failed") as caught:
            run(folder.root, reload)
        assert said in caught.value.problem.detail
    assert not folder.report_json.exists()


def test_a_forked_child_that_dies_is_a_reload_that_failed(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from engine.reload import Forked;"
        "forked = Forked(); os.kill(forked._child, signal.SIGKILL); sys.exit(100 + forked(Path('.')))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, env=_quietly())
    assert done.returncode == 100 - signal.SIGKILL


def test_a_file_that_does_not_run_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    threads = torch.get_num_threads()
    request = {"files": {"onnx": str(tmp_path / "model.onnx")}, "threads": threads + 1}
    (tmp_path / "request.json").write_text(json.dumps(request))
    write_arrays(tmp_path / "inputs.npz", (np.zeros((1, 1)),))
    try:
        assert engine.reload.main(tmp_path) == 1
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    assert "that model.onnx does not run (" in (tmp_path / "problem.txt").read_text()


def test_what_is_forked_early_reloads_without_starting_a_program(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, [{"kind": "quantize.dynamic"}], net=Mlp)
    script = (
        "import os, sys; from pathlib import Path; import engine.main;"
        "os.execv = os.posix_spawn = None;"
        "sys.exit(engine.main.main(Path(sys.argv[1]), ('pretended',)))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(folder.root)], check=False, env=_quietly())
    assert done.returncode == 0
    assert Report.model_validate_json(folder.report_json.read_bytes()).environment.sandbox == ("pretended",)
