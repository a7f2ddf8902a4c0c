"""Forks go on from a step that another job has kept, and replays are compared with their original: the real engine."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import engine.reload
from engine.jobdir import JobDir, Original
from engine.replay import replay
from engine.run import run
from pith.errors import PithError
from pith.job import ForkedFrom
from pith.report import OutputReport, Report
from tests.engine.tiny import Cnn, Mlp, job_folder

JOB = "job_" + "0" * 26
RECIPE: list[dict[str, Any]] = [
    {"kind": "prune.channel", "pruning_ratio": 0.5, "round_to": 4, "recovery": {"epochs": 1}},
    {"kind": "finetune.full", "epochs": 1},
    {"kind": "quantize.static"},
]
OUTPUTS = ("onnx", "pt2", "safetensors")


def told(folder: JobDir, **fields: Any) -> None:
    folder.spec.write_text(folder.read().model_copy(update=fields).model_dump_json())


def take_over(old: JobDir, new: JobDir, step: int) -> None:
    """As the worker stages the checkpoint of a fork."""
    new.checkpoint.mkdir(parents=True)
    for each in range(step):
        shutil.copy(old.steps / f"step-{each}.onnx", new.checkpoint)
    shutil.copy(old.steps / f"graph-{step - 1}.pt2", new.checkpoint)
    shutil.copy(old.steps / f"position-{step - 1}.json", new.checkpoint / "position.json")
    told(new, forked_from=ForkedFrom(job=JOB, step=step))


def as_original(old: JobDir, new: JobDir, report: Report) -> None:
    """As the worker stages the job that a replay is compared with."""
    shutil.copy(old.report_json, new.original)
    told(
        new, original=Original(job=JOB, status="succeeded", artifacts={one.name: one.digest for one in report.outputs})
    )


def outputs(folder: JobDir) -> dict[str, bytes]:
    return {form: folder.output(form).read_bytes() for form in OUTPUTS}  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> JobDir:
    folder = job_folder(tmp_path_factory.mktemp("whole"), RECIPE, keep_steps=True)
    run(folder.root, engine.reload.main)
    return folder


@pytest.mark.parametrize("step", [1, 2])
def test_a_fork_that_replaces_nothing_gives_the_same_bytes(tmp_path: Path, whole: JobDir, step: int) -> None:
    fork = job_folder(tmp_path, RECIPE)
    take_over(whole, fork, step)
    report = run(fork.root, engine.reload.main)
    assert outputs(fork) == outputs(whole)
    before = Report.model_validate_json(whole.report_json.read_bytes())
    assert report.forked_from == ForkedFrom(job=JOB, step=step) and before.forked_from is None
    assert [each.taken_from for each in report.steps] == [JOB] * step + [None] * (3 - step)
    for name in ("size_bytes", "parameters", "macs", "accuracy", "agreement", "sqnr_db"):
        assert report.baseline.get(name) == before.baseline.get(name)
        assert [each.after.get(name) for each in report.steps] == [each.after.get(name) for each in before.steps]
    started = [json.loads(line) for line in fork.events.read_text().splitlines()]
    assert [each["step"] for each in started if each["type"] == "step_started"] == list(range(step, 3))
    page = fork.report_html.read_text()
    assert f"A fork of {JOB}" in page and f"Taken from {JOB}." in page


def test_a_step_that_finishes_the_model_and_a_job_that_does_not_ask_leave_nothing(
    tmp_path: Path, whole: JobDir
) -> None:
    names = {f"{stem}-{step}.{end}" for step in (0, 1) for stem, end in (("graph", "pt2"), ("step", "onnx"))}
    assert {path.name for path in whole.steps.iterdir()} == names | {"position-0.json", "position-1.json"}
    plain = job_folder(tmp_path, [RECIPE[2]], net=Mlp, outputs=["onnx"])
    run(plain.root, engine.reload.main)
    assert not plain.steps.exists()


def test_a_fork_never_begins_anew(tmp_path: Path, whole: JobDir) -> None:
    fork = job_folder(tmp_path, RECIPE)
    take_over(whole, fork, 1)
    (fork.checkpoint / "position.json").write_text('{"number": 0, "of_another_version": true}')
    with pytest.raises(PithError, match=r"step_not_kept.*another version of the engine kept it; replay that job"):
        run(fork.root, engine.reload.main)
    assert "step_started" not in fork.events.read_text()


@pytest.mark.parametrize(
    ("recipe", "step"),
    [([*RECIPE[:2], {"kind": "quantize.weight_only"}], 2), (RECIPE[:2], 1)],
    ids=["other", "shorter"],
)
def test_another_end_is_what_a_job_of_the_whole_recipe_would_give(
    tmp_path: Path, whole: JobDir, recipe: list[dict[str, Any]], step: int
) -> None:
    fresh, fork = job_folder(tmp_path / "fresh", recipe), job_folder(tmp_path / "fork", recipe)
    run(fresh.root, engine.reload.main)
    take_over(whole, fork, step)
    run(fork.root, engine.reload.main)
    assert outputs(fork) == outputs(fresh) != outputs(whole)


@pytest.mark.parametrize("net", [Cnn, Mlp])
def test_a_replay_says_that_it_is_the_same_byte_for_byte(tmp_path: Path, net: type[nn.Module]) -> None:
    recipe = [{"kind": "prune.magnitude", "sparsity": 0.5}, {"kind": "finetune.full", "epochs": 1}]
    first, second = (job_folder(tmp_path / name, recipe, net=net) for name in ("first", "second"))
    before = run(first.root, engine.reload.main)
    as_original(first, second, before)
    found = run(second.root, engine.reload.main).replay
    assert found is not None and found.identical
    assert found.verdict == f"The same as {JOB}, byte for byte."
    assert {each.name for each in found.artifacts} == {f"model.{form}" for form in OUTPUTS}
    assert {each.name: each.difference for each in found.metrics}["accuracy"] == 0
    page = second.report_html.read_text()
    assert f"A replay of {JOB}" in page and found.verdict in page


def test_a_replay_of_what_has_no_report_or_none_that_can_be_read_says_so(tmp_path: Path, whole: JobDir) -> None:
    report = Report.model_validate_json(whole.report_json.read_bytes())
    folder = JobDir(tmp_path)
    for status, said in (("failed", "had failed"), ("deleted", "was deleted"), ("running", "was running")):
        job = whole.read().model_copy(update={"original": Original(job=JOB, status=status)})  # type: ignore[arg-type]
        found = replay(folder, job, report)
        assert found is not None and found.identical is None and found.status == status
        assert found.verdict == f"There is nothing to compare with: {JOB} {said} and has no report."
    folder.original.write_text('{"verdict": "<script>"}')
    found = replay(folder, job, report)
    assert found is not None and found.verdict.endswith("cannot be read by this version.")
    assert replay(folder, whole.read(), report) is None


def _with(report: Report, **changes: float) -> Report:
    metrics = [one.model_copy(update={"value": changes.get(one.name, one.value)}) for one in report.result.metrics]
    return report.model_copy(update={"result": report.result.model_copy(update={"metrics": tuple(metrics)})})


def test_what_differs_is_said_with_both_numbers_and_latency_is_not_held_against_it(
    tmp_path: Path, whole: JobDir
) -> None:
    report = Report.model_validate_json(whole.report_json.read_bytes())
    folder = JobDir(tmp_path)
    folder.original.write_bytes(whole.report_json.read_bytes())
    artifacts = {one.name: one.digest for one in report.outputs}
    job = whole.read().model_copy(update={"original": Original(job=JOB, status="succeeded", artifacts=artifacts)})

    def verdict(changed: Report) -> str:
        found = replay(folder, job, changed)
        assert found is not None
        return found.verdict

    accuracy = report.result.get("accuracy") or 0.0
    latency = report.result.get("latency_median_ms") or 0.0
    assert verdict(_with(report, latency_median_ms=9 * latency)) == f"The same as {JOB}, byte for byte."
    close = _with(report, accuracy=accuracy * 1.005)
    assert verdict(close).startswith(f"The metrics agree with those of {JOB} within 0.5 %; the bytes are the same")
    apart = verdict(_with(report, accuracy=accuracy / 2))
    assert apart == f"It differs from {JOB}: accuracy {accuracy:.6g} → {accuracy / 2:.6g}."
    other = report.outputs[0].model_copy(update={"digest": f"sha256:{'0' * 64}"})
    changed: tuple[OutputReport, ...] = (other, *report.outputs[1:])
    assert verdict(report.model_copy(update={"outputs": changed})).endswith(f"the bytes of {other.name} differ.")
