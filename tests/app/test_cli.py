"""The command line against a real service: what it says, what it writes, and how it exits."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pith.cli import main
from pith.errors import PithError
from pith.job import EngineEvent, Progress
from tests.app.a_report import report_of
from tests.app.api_process import ApiProcess, environment, free_port
from tests.app.by_hand import Bench
from tests.app.test_api_lineage import keep
from tests.waiting import eventually

Run = Callable[..., tuple[int, str, str]]
SPEC = {"recipe": [{"kind": "quantize.dynamic"}]}


@pytest.fixture
def pith(api: ApiProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `pith …` in this process: its exit code, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setenv("PITH_URL", api.url)
        monkeypatch.setattr(sys, "argv", ["pith", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.pt2"
    path.write_bytes(b"a model")
    return path


@pytest.mark.usefixtures("checker")
def test_a_model_of_what_a_job_has_made(pith: Run, bench: Bench, job: str) -> None:
    bench.succeed(job, bench.start(job), model_onnx=b"onnx")
    code, out, _ = pith("models", "from-job", job, "--tag", "result", "--json")
    made = json.loads(out)
    assert (code, made["status"], made["size_bytes"], made["tags"]) == (0, "ready", 4, ["result"])
    code, out, _ = pith("models", "from-job", job, "model.onnx", "--name", "mine", "--no-wait")
    assert code == 0 and f"made by a job: /v1/jobs/{job}/artifacts/model.onnx" in out
    code, _, err = pith("models", "from-job", job, "report.json")
    assert code != 0 and "name one of model.onnx" in err


@pytest.mark.usefixtures("checker")
@pytest.mark.parametrize("noun", ["models", "datasets"])
def test_upload_list_show_delete(pith: Run, file: Path, noun: str) -> None:
    code, out, _ = pith(noun, "upload", file, "--name", "[red]mine", "--json")
    made = json.loads(out)
    assert (code, made["name"], made["size_bytes"], made["status"]) == (0, "[red]mine", 7, "ready")
    assert made["id"] in pith(noun, "list")[1] and "[red]mine" in pith(noun, "list")[1]
    (listed,) = json.loads(pith(noun, "list", "--json", "--limit", 1, "--status", "ready")[1])
    assert listed["id"] == made["id"]
    assert json.loads(pith(noun, "show", made["id"], "--json")[1]) == made
    assert pith(noun, "delete", made["id"]) == (0, "", "")
    code, out, err = pith(noun, "show", made["id"])
    assert (code, out) == (1, "") and err.startswith("Error: The ") and "was deleted" in err and "Traceback" not in err


def test_jobs_are_submitted_listed_shown_and_cancelled(pith: Run, tmp_path: Path, model: str) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({**SPEC, "model": model}))
    code, out, _ = pith("jobs", "submit", spec, "--json")
    job = json.loads(out)["id"]
    assert code == 0
    assert job in pith("jobs", "list", "--status", "queued")[1]
    assert "queued" in pith("jobs", "show", job)[1]
    assert json.loads(pith("jobs", "cancel", job, "--json")[1])["status"] == "cancelled"
    events = [json.loads(line)["type"] for line in pith("jobs", "events", job, "--json")[1].splitlines()]
    assert events == ["queued", "cancelled"]


def test_jobs_are_replayed_forked_and_found_by_their_tags(
    pith: Run, tmp_path: Path, model: str, bench: Bench, file: Path
) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"recipe": [{"kind": "prune.magnitude"}] * 2, "model": model, "keep_steps": True}))
    word = f"t{tmp_path.name}"
    job = json.loads(pith("jobs", "submit", spec, "--tag", word, "--tag", "cli", "--json")[1])["id"]
    listed = json.loads(pith("jobs", "list", "--tag", word, "--naming", model, "--json")[1])
    assert [one["id"] for one in listed] == [job] and listed[0]["tags"] == ["cli", word]
    assert json.loads(pith("jobs", "replay", job, "--json")[1])["replays"] == job
    code, _, err = pith("jobs", "fork", job, 1)
    assert code == 1 and "that step is not finished yet" in err
    keep(bench, job, bench.start(job), 0)
    changes = tmp_path / "changes.json"
    changes.write_text('{"recipe": [{"kind": "quantize.dynamic"}]}')
    fork = json.loads(pith("jobs", "fork", job, 1, "--changes", changes, "--json")[1])
    assert fork["forked_from"] == {"job": job, "step": 1}
    assert [step["kind"] for step in fork["spec"]["recipe"]] == ["prune.magnitude", "quantize.dynamic"]
    changes.write_text('{"recipes": []}')
    code, _, err = pith("jobs", "fork", job, 1, "--changes", changes)
    assert code == 1 and "recipe" in err
    assert json.loads(pith("jobs", "tag", job, "--json")[1])["tags"] == []
    made = json.loads(pith("models", "upload", file, "--no-wait", "--tag", word, "--json")[1])
    assert [one["id"] for one in json.loads(pith("models", "list", "--tag", word, "--json")[1])] == [made["id"]]
    assert json.loads(pith("models", "tag", made["id"], "x", "y", "--json")[1])["tags"] == ["x", "y"]


def test_report_and_download(pith: Run, bench: Bench, job: str, tmp_path: Path) -> None:
    report = report_of(bench.jobs.get(job), size=1000).model_dump_json().encode()
    bench.succeed(job, bench.start(job), model_onnx=b"onnx", report_json=report, report_html=b"<p>page")
    code, out, _ = pith("jobs", "report", job)
    assert code == 0 and "[bold]and not bold[/bold]" in out and "12,000" in out and "÷ 12" in out and "-0.01" in out
    assert json.loads(pith("jobs", "report", job, "--json")[1])["job"] == job
    assert pith("jobs", "report", job, "--html", tmp_path / "r.html")[0] == 0
    assert (tmp_path / "r.html").read_bytes() == b"<p>page"
    said = pith("jobs", "report", job, "--markdown")[1]
    assert said.startswith("### ") and r"\[bold\]and not bold\[/bold\]" in said
    assert pith("jobs", "download", job, "--out", tmp_path / "all")[0] == 0
    assert sorted(one.name for one in (tmp_path / "all").iterdir()) == ["model.onnx", "report.html", "report.json"]
    assert pith("jobs", "download", job, "model.onnx", "--out", tmp_path / "one")[0] == 0
    assert [one.name for one in (tmp_path / "one").iterdir()] == ["model.onnx"]
    code, _, err = pith("jobs", "download", job, "model.pt2", "--out", tmp_path / "none")
    assert code == 2 and "no model.pt2; it has" in err and "model.onnx" in err


def test_events_are_told_with_their_numbers(pith: Run, bench: Bench, job: str) -> None:
    attempt = bench.start(job)
    widths = {"stem": 32, "[bold]body": 64}
    left = EngineEvent(at=datetime.now(UTC), type="metric", message="channels left", step=0, data={"widths": widths})
    bench.jobs.record(job, attempt, [left], Progress(fraction=0.5, message="half"))
    bench.succeed(job, attempt, model_onnx=b"onnx")
    assert "metric step 0 channels left: 96 (stem=32, [bold]body=64)" in pith("jobs", "events", job)[1]


def _worker(bench: Bench, end: Callable[[str, int], object]) -> threading.Thread:
    """Takes up the next queued job whose spec has this test's seed, and ends it."""

    def work() -> None:
        def queued() -> str | None:
            return next((job.id for job in bench.jobs.list(status="queued").data if job.spec.seed == 4711), None)

        job = eventually(queued)
        end(job, bench.start(job))

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.usefixtures("checker")
@pytest.mark.parametrize(("verdict", "expected"), [("met", 0), ("not_met", 3)])
def test_run_does_the_whole_thing(
    pith: Run, bench: Bench, file: Path, tmp_path: Path, verdict: str, expected: int
) -> None:
    def end(job: str, attempt: int) -> None:
        report = report_of(bench.jobs.get(job), size=5).model_dump_json().encode()
        bench.succeed(job, attempt, verdict=verdict, model_onnx=b"small", report_json=report)

    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({**SPEC, "seed": 4711}))
    worker = _worker(bench, end)
    code, out, err = pith("run", spec, "--model", file, "--data", file, "--out", tmp_path / "out")
    worker.join()
    assert (code, (tmp_path / "out/model.onnx").read_bytes()) == (expected, b"small")
    assert "before" in out and "size_bytes" in out and "/v1/jobs/job_" in err


@pytest.mark.usefixtures("checker")
@pytest.mark.parametrize("with_file", [True, False])
def test_run_takes_what_a_file_does_not_say(
    pith: Run, bench: Bench, file: Path, tmp_path: Path, with_file: bool
) -> None:
    """As the two commands `upload` do: weights with their architecture, or none; a table with its schema."""
    problem = PithError("engine_died", cause="signal 9", where="step 1", hint="").problem
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({**SPEC, "seed": 4711}))
    worker = _worker(bench, lambda job, attempt: bench.jobs.fail(job, attempt, problem))
    net = (*(("--model", file) if with_file else ()), "--architecture", "pith/lenet5", "--argument", "num_classes=4")
    code, out, _ = pith("run", spec, *net, "--data", file, "--schema", "label=income", "--json")
    worker.join()
    asked = json.loads(out)["job"]["spec"]
    model = json.loads(pith("models", "show", asked["model"], "--json")[1])
    dataset = json.loads(pith("datasets", "show", asked["dataset"], "--json")[1])
    assert code == 4 and model["size_bytes"] == (7 if with_file else 0)
    assert model["architecture"]["arguments"] == {"num_classes": 4}
    assert dataset["declared"]["label"] == "income"


@pytest.mark.usefixtures("checker")
def test_run_fails_when_the_job_does(pith: Run, bench: Bench, file: Path, tmp_path: Path) -> None:
    problem = PithError("engine_died", cause="signal 9", where="step 1", hint="").problem
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({**SPEC, "seed": 4711}))
    worker = _worker(bench, lambda job, attempt: bench.jobs.fail(job, attempt, problem))
    code, out, _ = pith("run", spec, "--model", file, "--out", tmp_path / "out")
    worker.join()
    assert code == 4 and "ended by signal 9" in out and not (tmp_path / "out").exists()


PICKLED = PithError("model_pickled", found="os.system").problem


def _rejecting(bench: Bench) -> threading.Thread:
    """Rejects the next upload."""

    def work() -> None:
        check = eventually(lambda: bench.jobs.list(kind="intake", status="queued").data)[0]
        bench.reject(check.id, PICKLED)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_an_upload_that_is_rejected_says_why_and_exits_with_1(pith: Run, bench: Bench, file: Path) -> None:
    bench.learn_all()
    worker = _rejecting(bench)
    code, out, err = pith("models", "upload", file)
    worker.join()
    assert (code, out) == (1, "") and f"Error: {PICKLED.detail}" in err and "was rejected" in err
    id = json.loads(pith("models", "list", "--status", "rejected", "--limit", 1, "--json")[1])[0]["id"]
    code, out, _ = pith("models", "show", id)
    assert code == 0 and PICKLED.detail in out.replace("\n", " ")


def test_run_says_why_an_input_was_rejected_and_submits_nothing(
    pith: Run, bench: Bench, file: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({**SPEC, "seed": 4712}))
    bench.learn_all()
    worker = _rejecting(bench)
    code, _, err = pith("run", spec, "--model", file)
    worker.join()
    assert code == 1 and PICKLED.detail in err
    assert 4712 not in [job.spec.seed for job in bench.jobs.list().data]


def test_a_model_by_its_architecture(pith: Run, file: Path) -> None:
    words = ("--architecture", "pith/lenet5", "--argument", "num_classes=4", "--argument", "name=x", "--no-wait")
    made = json.loads(pith("models", "upload", *words, "--input-shape", "1,8,8", "--seed", 3, "--json")[1])
    assert made["architecture"] == {
        "name": "pith/lenet5",
        "arguments": {"num_classes": 4, "name": "x"},
        "input_shape": [1, 8, 8],
        "seed": 3,
    }
    assert (made["digest"], made["size_bytes"], made["name"], made["status"]) == (None, 0, "lenet5", "checking")
    weights = json.loads(pith("models", "upload", file, *words, "--json")[1])
    assert weights["architecture"]["name"] == "pith/lenet5" and weights["size_bytes"] == 7


def test_a_dataset_with_its_schema(pith: Run, file: Path, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"task": "tabular-classification", "label": "y"}')
    words = ("--schema", schema, "--schema", "label=income", "--schema", 'classes=["no", "yes"]', "--no-wait")
    made = json.loads(pith("datasets", "upload", file, *words, "--json")[1])
    declared = {name: made["declared"][name] for name in ("task", "label", "classes")}
    assert declared == {"task": "tabular-classification", "label": "income", "classes": ["no", "yes"]}


WRONG = {
    "no file": (("models", "upload"), 2, "give a FILE, or an --architecture NAME"),
    "arguments alone": (("models", "upload", "x", "--argument", "a=1"), 2, "belong to an --architecture"),
    "no pair": (("models", "upload", "--architecture", "pith/lenet5", "--argument", "a"), 2, "takes KEY=VALUE"),
    "no library": (("models", "upload", "--architecture", "lenet5"), 1, "/architecture: "),
    "why no library": (("models", "upload", "--architecture", "lenet5"), 1, "names a library and a network"),
    "a wrong option": (("datasets", "upload", "x", "--schema", "lable=y"), 1, "did you mean label?"),
    "no schema": (("datasets", "upload", "x", "--schema", "nothing.json"), 1, "cannot be used"),
}


@pytest.mark.parametrize(("words", "code", "said"), WRONG.values(), ids=WRONG)
def test_what_is_said_wrongly_of_an_upload(pith: Run, words: tuple[str, ...], code: int, said: str) -> None:
    found, _, err = pith(*words)
    assert (found, said in err, "Traceback" in err) == (code, True, False)


@pytest.mark.usefixtures("checker")
def test_preview_and_check_again(pith: Run, file: Path) -> None:
    id = json.loads(pith("datasets", "upload", file, "--json")[1])["id"]
    assert pith("datasets", "preview", id)[0] == 0
    assert json.loads(pith("datasets", "preview", id, "--json")[1])["samples"] == [{"x": 1}]
    again = json.loads(pith("datasets", "check", id, "--json")[1])
    assert again["status"] == "ready"


@pytest.mark.usefixtures("checker")
def test_a_plan_before_any_job(pith: Run, file: Path, tmp_path: Path, bench: Bench) -> None:
    model = json.loads(pith("models", "upload", file, "--json")[1])["id"]
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({**SPEC, "model": model, "seed": 4713}))
    code, out, _ = pith("jobs", "plan", spec)
    assert code in (0, 1) and "recipe[0] quantize.dynamic" in out
    assert json.loads(pith("jobs", "plan", spec, "--json")[1])["possible"] is (code == 0)
    assert 4713 not in [job.spec.seed for job in bench.jobs.list().data]


def test_a_plan_names_all_that_is_wrong(pith: Run, tmp_path: Path, model: str) -> None:
    """An order that is wrong hides nothing else."""
    steps = [{"kind": "quantize.dynamic"}, {"kind": "prune.magnitude"}, {"kind": "finetune.full"}]
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"model": model, "recipe": steps, "constraints": {"max_metric_drop": 0.1}}))
    code, out, err = pith("jobs", "plan", spec)
    assert (code, err) == (1, "")
    assert "recipe[1] (prune.magnitude) cannot follow" in out and "recipe[2] (finetune.full) cannot follow" in out
    assert "recipe[2] (finetune.full) needs" in out and "max_metric_drop 0.1 can only be checked on data" in out


def test_a_report_says_what_became_worse(pith: Run, bench: Bench, job: str) -> None:
    found = report_of(bench.jobs.get(job), size=1000)
    report = found.model_copy(update={"baseline": found.result, "result": found.baseline})
    bench.succeed(job, bench.start(job), report_json=report.model_dump_json().encode())
    said = pith("jobs", "report", job)[1]
    assert "× 12, worse" in said and "÷" not in said and "+0.01" in said


def test_every_wrong_field_is_named(pith: Run, tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    wrong = {"kind": "prune.magnitude", "sparsity": 2}
    spec.write_text(json.dumps({"recipe": [wrong] * 5}))
    code, _, err = pith("run", spec, "--model", tmp_path / "m.pt2")
    assert code == 1 and "5 fields are wrong" in err and "and 2 more (see errors)" in err
    assert [err.count(f"/recipe/{index}/sparsity: ") for index in range(5)] == [1] * 5


BAD_SPECS = {
    "no JSON": ("{", "is no JSON: Expecting property name enclosed in double quotes: line 1 column 2"),
    "no object": ("[]", "no JSON object"),
    "out of bounds": ('{"recipe":[{"kind":"prune.magnitude","sparsity":2}]}', "/recipe/0/sparsity"),
    "impossible order": ('{"recipe":[{"kind":"quantize.dynamic"},{"kind":"prune.magnitude"}]}', "cannot follow"),
    "no dataset": ('{"recipe":[{"kind":"finetune.full"}]}', "upload a dataset"),
}


@pytest.mark.parametrize(("text", "said"), BAD_SPECS.values(), ids=BAD_SPECS)
def test_run_finds_a_bad_spec_before_it_uploads(
    api: ApiProcess, pith: Run, tmp_path: Path, text: str, said: str
) -> None:
    spec, model = tmp_path / "spec.json", tmp_path / "m.pt2"
    spec.write_text(text)
    model.write_bytes(str(tmp_path).encode())
    before = api.blobs()
    code, _, err = pith("run", spec, "--model", model)
    assert code == 1 and err.startswith("Error: ") and said in err
    assert api.blobs() == before


def test_run_takes_no_schema_without_its_file(pith: Run, tmp_path: Path, model: str) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({**SPEC, "model": model}))
    code, _, err = pith("run", spec, "--schema", "label=y")
    assert code == 2 and "--schema belongs to --data FILE" in err


def test_run_without_any_model_says_how_to_give_one(pith: Run, tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(SPEC))
    code, _, err = pith("run", spec)
    assert code == 2 and "names no model; give the file with --model FILE" in err


def test_download_of_a_job_without_artifacts_says_so(pith: Run, job: str, tmp_path: Path) -> None:
    code, _, err = pith("jobs", "download", job, "--out", tmp_path / "none")
    assert code == 1 and f"the job {job} has no artifacts" in err
    assert not (tmp_path / "none").exists()


def test_a_file_that_is_not_there(pith: Run, tmp_path: Path) -> None:
    for words in (("models", "upload", tmp_path / "none"), ("models", "upload", tmp_path), ("run", tmp_path / "none")):
        code, _, err = pith(*words)
        assert code == 1 and err.startswith("Error: The file") and "Traceback" not in err


def test_wrong_usage_exits_with_2(pith: Run) -> None:
    assert pith("jobs", "list", "--status", "done")[0] == 2
    assert pith("nothing")[0] == 2


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["models"],
        ["datasets", "upload"],
        ["jobs"],
        ["jobs", "events"],
        ["jobs", "wait"],
        ["run"],
        ["mlflow", "push"],
        ["techniques"],
        ["up"],
    ],
    ids=" ".join,
)
def test_everything_explains_itself(pith: Run, words: list[str]) -> None:
    code, out, _ = pith(*words, "--help")
    assert code == 0 and "Usage: pith" in out


def test_techniques(pith: Run) -> None:
    assert "prune.channel" in pith("techniques")[1]


def test_mlflow_without_its_client_says_how_to_get_it(pith: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.delitem(sys.modules, "pith.registry", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    code, _, err = pith("mlflow", "pull", "models:/a/1", "--tracking-uri", "http://127.0.0.1:1")
    assert code == 1 and "pip install 'pith[mlflow]'" in err


def test_as_a_real_command_without_a_service(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("pith")), "models", "list"]
    settings = environment(tmp_path, PITH_URL=f"http://127.0.0.1:{free_port()}")
    done = subprocess.run(command, env=settings, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("Error: http://127.0.0.1") and done.stderr.count("\n") == 1
