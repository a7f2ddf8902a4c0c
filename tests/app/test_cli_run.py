"""`pith run` and `pith jobs wait` as the gate of a pipeline, against a real API and a worker by hand."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pith.cli.markdown import summary
from pith.errors import PithError
from pith.report import ConstraintResult
from pith.requirements import outcome, parse
from tests.app.a_report import report_of
from tests.app.api_process import ApiProcess, environment, running
from tests.app.by_hand import Bench
from tests.waiting import eventually

PITH = str(Path(sys.executable).with_name("pith"))
STEP = ("--step", "quantize.dynamic")
PROBLEM = PithError("engine_died", cause="signal 9", where="step 1", hint="").problem


class Ran:
    """`pith …` as a process of its own."""

    def __init__(self, url: str, folder: Path, *words: object, **variables: object) -> None:
        settings = environment(folder / "unused", PITH_URL=url, NO_COLOR="1", **variables)
        for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
            if name not in variables:
                settings.pop(name, None)
        self.process = subprocess.Popen(
            [PITH, *map(str, words)],
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err


@pytest.fixture
def pith(api: ApiProcess, tmp_path: Path) -> Callable[..., Ran]:
    return lambda *words, **variables: Ran(api.url, tmp_path, *words, **variables)


def named(bench: Bench, model: str) -> str:
    """The one job that names this model, once it is there."""
    return eventually(lambda: [job.id for job in bench.jobs.list(naming=(model,)).data])[0]


def succeed(bench: Bench, job: str, verdict: str = "unconstrained") -> None:
    report = report_of(bench.jobs.get(job), size=5).model_dump_json().encode()
    bench.succeed(job, bench.start(job), verdict=verdict, model_onnx=b"small", report_json=report)


@pytest.mark.parametrize(
    ("required", "code", "said"),
    [
        (("compression_ratio>=4", "accuracy>0.8"), 0, "required compression_ratio>=4: 12, met"),
        (("compression_ratio>=4", "accuracy>0.9"), 3, "required accuracy>0.9: 0.89, NOT MET"),
        (("r2>0",), 3, "required r2>0: not measured (the report has compression_ratio,"),
    ],
)
def test_a_run_ends_as_its_requirements_say(
    pith: Callable[..., Ran],
    bench: Bench,
    model: str,
    tmp_path: Path,
    required: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    words = [word for text in required for word in ("--require", text)]
    files = {"GITHUB_OUTPUT": tmp_path / "variables", "GITHUB_STEP_SUMMARY": tmp_path / "summary.md"}
    (tmp_path / "summary.md").write_text("Before.\n")
    ran = pith("run", "--model", model, *STEP, *words, "--artifact", "model.onnx", "--out", "out", **files)
    succeed(bench, job := named(bench, model))
    found, out, err = ran.end()
    assert (found, said in out, f"/v1/jobs/{job}" in err) == (code, True, True)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["model.onnx"]
    passed = "true" if code == 0 else "false"
    assert (tmp_path / "variables").read_text() == (
        f"job={job}\nstatus=succeeded\nverdict=unconstrained\npassed={passed}\ncompression_ratio=12\nspeedup=2\n"
    )
    written = (tmp_path / "summary.md").read_text()
    assert written.startswith("Before.\n### Pith: ") and ("**NOT MET**" in written) is (code == 3)
    assert "| size_bytes [B] | 60 | 5 | ÷ 12 |".replace("[", r"\[").replace("]", r"\]") in written


def test_the_same_run_under_one_key_is_one_job(pith: Callable[..., Ran], bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(os.urandom(64))
    key = f"key of {tmp_path}"
    words = ("run", "--model", "net.pt2", *STEP, "--key", key, "--json", "--out", "out")
    first = pith(*words)
    check = eventually(lambda: bench.jobs.list(kind="intake", status="queued").data)[0]
    model = check.spec.check
    bench.learn_all()
    succeed(bench, named(bench, model))
    ended = [first.end(), pith(*words).end()]
    assert [code for code, _, _ in ended] == [0, 0], ended
    told = [json.loads(out) for _, out, _ in ended]
    assert told[0]["job"] == told[1]["job"] and told[0]["passed"] and len(bench.jobs.list(naming=(model,)).data) == 1
    (tmp_path / "net.pt2").write_bytes(os.urandom(64))
    code, _, err = pith(*words).end()
    assert code == 1 and "was used for another request" in err and f"which made '{model}'" in err


def test_a_job_that_fails_says_so_in_every_way(
    pith: Callable[..., Ran], bench: Bench, model: str, tmp_path: Path
) -> None:
    ran = pith("run", "--model", model, *STEP, "--require", "speedup>1", "--json", "--summary", "s", "--variables", "v")
    job = named(bench, model)
    bench.jobs.fail(job, bench.start(job), PROBLEM)
    code, out, _ = ran.end()
    told = json.loads(out)
    assert (code, told["passed"], told["report"], told["requirements"]) == (4, False, None, [])
    assert "the job has failed" in (tmp_path / "s").read_text() and "signal 9" in (tmp_path / "s").read_text()
    assert "status=failed\nverdict=\npassed=false\ncompression_ratio=\n" in (tmp_path / "v").read_text()


REFUSED = {
    "an unknown name": (("--require", "compresion_ratio>=4"), 2, "did you mean compression_ratio?"),
    "no comparison": (("--require", "speedup"), 2, "is no comparison"),
    "no constraints": (("--require", "met"), 1, "asks for constraints"),
    "no such step": (("--step", "prune.chanel"), 1, "prune.channel"),
    "a step without a value": (("--step", "prune.channel,pruning_ratio"), 2, "has an option without a value"),
    "a field that is none": (("--set", "constraints.min_speed=2"), 1, "did you mean min_speedup?"),
    "no pair": (("--set", "seed"), 2, "takes KEY=VALUE"),
    "an architecture of its own": (("--architecture", "pith/lenet5"), 2, "a model with an id has its own"),
    "a schema of an id": (("--data", f"dts_{'0' * 26}", "--schema", "label=y"), 2, "--schema belongs to --data FILE"),
    "no such artifact": (("--artifact", "model.pith"), 2, "the job makes no model.pith; it can make model.onnx, "),
    "no such model": (("--model", f"mdl_{'0' * 26}"), 1, "There is no model"),
}


@pytest.mark.parametrize(("words", "code", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_found_before_anything_is_submitted(
    pith: Callable[..., Ran], bench: Bench, model: str, words: tuple[str, ...], code: int, said: str
) -> None:
    found, out, err = pith("run", "--model", model, *STEP, *words).end()
    assert (found, out, said in err, "Traceback" in err) == (code, "", True, False), err
    assert not bench.jobs.list(naming=(model,)).data


def test_neither_a_spec_nor_steps_or_both(pith: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text('{"recipe": [{"kind": "quantize.dynamic"}]}')
    assert "give a SPEC, or the steps of a recipe" in pith("run").end()[2]
    assert "SPEC has a recipe already" in pith("run", "spec.json", *STEP).end()[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("cancel", [False, True])
def test_who_stops_waiting_is_told_that_the_job_goes_on(
    pith: Callable[..., Ran], bench: Bench, model: str, number: int, cancel: bool
) -> None:
    ran = pith("run", "--model", model, *STEP, *(["--cancel-on-interrupt"] if cancel else []))
    job = named(bench, model)
    assert ran.process.stderr is not None
    told = ""
    while "queued" not in told:
        told += ran.process.stderr.readline()
    ran.process.send_signal(number)
    code, _, err = ran.end()
    assert (code, f"pith jobs wait {job}" in err) == (130, not cancel), err
    assert bench.jobs.get(job).status == ("cancelled" if cancel else "queued")


def test_a_wait_can_be_taken_up_again(pith: Callable[..., Ran], bench: Bench, job: str, tmp_path: Path) -> None:
    succeed(bench, job, "not_met")
    assert pith("jobs", "wait", job).end()[0] == 3
    assert not (tmp_path / "pith-out").exists()
    assert pith("jobs", "wait", job, "--out", "here").end()[0] == 3 and (tmp_path / "here/model.onnx").exists()
    assert "asks for constraints" in pith("jobs", "wait", job, "--require", "met").end()[2]


def test_the_check_of_an_upload_can_be_waited_for(pith: Callable[..., Ran], bench: Bench, model: str) -> None:
    check = bench.jobs.list(kind="intake", status="queued").data[0].id
    bench.learn_all()
    assert pith("jobs", "wait", check).end()[0] == 0


def test_an_api_that_is_started_again_is_waited_for(tmp_path: Path) -> None:
    with running(tmp_path / "data") as api:
        bench = Bench(api.data)
        try:
            (tmp_path / "net.pt2").write_bytes(b"a model")
            ran = Ran(api.url, tmp_path, "run", "--model", "net.pt2", *STEP, "--require", "speedup>=2", "--out", "out")
            eventually(lambda: bench.jobs.list(kind="intake", status="queued").data)
            bench.learn_all()
            job = eventually(lambda: bench.jobs.list().data)[0].id
            attempt = bench.start(job)
            bench.tell(job, attempt, "before")
            api.stop()
            bench.tell(job, attempt, "while it was away")
            api.start()
            api.wait_until_it_answers()
            report = report_of(bench.jobs.get(job), size=5).model_dump_json().encode()
            bench.succeed(job, attempt, model_onnx=b"small", report_json=report)
            code, out, err = ran.end()
        finally:
            bench.db.close()
    assert code == 0 and "required speedup>=2: 2, met" in out, err
    assert (tmp_path / "out/model.onnx").read_bytes() == b"small"


def test_a_summary_makes_no_markup_of_words_from_elsewhere(bench: Bench, job: str) -> None:
    found = bench.jobs.get(job).model_copy(update={"status": "succeeded"})
    limit = ConstraintResult(name="min_speedup", limit=2, value=1.5, met=False, margin=-0.5)
    headline = ("<b>[link](x)</b> | `code`\n# title",)
    report = report_of(found, size=5).model_copy(update={"headline": headline, "constraints": (limit,)})
    said = summary(outcome(found, report, (parse("speedup>=2"),)))
    assert r"- \<b>\[link\](x)\</b> \| \`code\` \# title" in said
    assert "| min_speedup 2 | 1.5 | **NOT MET** |" in said and r"| speedup>=2 | 2 | met |" in said
