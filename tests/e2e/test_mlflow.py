"""`pith mlflow` against a real MLflow server and a real service: a model out of the registry, a result into it."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import yaml

from pith.client import Pith
from pith.job import Job
from tests.app.api_process import environment, free_port
from tests.app.embedded import Up
from tests.e2e.conftest import Submit
from tests.engine.tiny import Cnn, arrays, saved
from tests.mlflow_process import MlflowProcess, executable

COMMAND = str(Path(sys.executable).with_name("pith"))
RECIPE = (
    {"kind": "prune.channel", "pruning_ratio": 0.5, "round_to": 4, "recovery": {"epochs": 1}},
    {"kind": "quantize.static"},
)
LOAD = """
import sys, numpy, mlflow
(scores,) = mlflow.pyfunc.load_model(sys.argv[1]).predict(numpy.load(sys.argv[2])["x_test"]).values()
numpy.save(sys.argv[3], scores)
"""


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowProcess]:
    server = MlflowProcess(tmp_path_factory.mktemp("mlflow") / "server")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def job(pith: Pith, submit: Submit) -> Job:
    job = pith.jobs.wait(submit(*RECIPE, constraints={"min_compression_ratio": 2}).id)
    assert job.verdict == "met"
    return job


def run(service: Up, mlflow: str, *words: str, code: int = 0) -> str:
    """What `pith mlflow …` says."""
    settings = environment(Path("unused"), PITH_URL=service.url, MLFLOW_TRACKING_URI=mlflow)
    done = subprocess.run([COMMAND, "mlflow", *words], env=settings, capture_output=True, text=True)
    assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
    return done.stderr if code else done.stdout


def pushed(service: Up, mlflow: MlflowProcess, job: Job, *words: str) -> dict[str, Any]:
    named = ("push", job.id, "--experiment", "compression", "--json", *words)
    found: dict[str, Any] = json.loads(run(service, mlflow.url, *named))
    return found


def test_a_result_becomes_a_version_that_mlflow_loads(
    service: Up, pith: Pith, mlflow: MlflowProcess, job: Job, tmp_path: Path
) -> None:
    made = pushed(service, mlflow, job, "--register", "digits-small", "--source", "models:/digits/1")
    version = mlflow.api("GET", "model-versions/get", name="digits-small", version=made["version"])["model_version"]
    tags = {tag["key"]: tag["value"] for tag in version["tags"]}
    assert (tags["pith.job"], tags["pith.verdict"], tags["pith.source"]) == (job.id, "met", "models:/digits/1")
    report = pith.jobs.report(job.id)
    assert float(tags["pith.compression_ratio"]) == pytest.approx(report.comparison.compression_ratio, rel=1e-5)
    assert tags["pith.model_digest"] == report.model_digest and version["description"] == " ".join(report.headline)
    settings = {**os.environ, "MLFLOW_TRACKING_URI": mlflow.url, "MLFLOW_DISABLE_TELEMETRY": "true"}
    np.savez(tmp_path / "data.npz", **arrays())
    words = [f"models:/digits-small/{made['version']}", str(tmp_path / "data.npz"), str(tmp_path / "scores.npy")]
    python = str(Path(executable()).with_name("python"))
    done = subprocess.run([python, "-I", "-c", LOAD, *words], env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    artifact = next(one for one in pith.jobs.artifacts(job.id) if one.name == "model.onnx")
    pith.jobs.download(artifact, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (scores,) = session.run(None, {"input": arrays()["x_test"]})
    assert np.array_equal(np.load(tmp_path / "scores.npy"), scores)


def test_a_run_has_the_numbers_the_recipe_and_the_files(
    service: Up, pith: Pith, mlflow: MlflowProcess, job: Job
) -> None:
    made = pushed(service, mlflow, job)
    assert (made["name"], made["version"]) == (None, None)
    data = mlflow.api("GET", "runs/get", run_id=made["run"])["run"]
    assert data["info"]["status"] == "FINISHED"
    metrics = {metric["key"]: metric["value"] for metric in data["data"]["metrics"]}
    report = pith.jobs.report(job.id)
    for metric in report.baseline.metrics:
        assert metrics[f"baseline/{metric.name}"] == pytest.approx(metric.value)
        assert metrics[f"result/{metric.name}"] == pytest.approx(report.result.get(metric.name))
    assert metrics["metric_drop_upper"] == pytest.approx((report.comparison.quality_drop_interval or (0, 0))[1])
    steps = mlflow.api("GET", "metrics/get-history", run_id=made["run"], metric_key="steps/parameters")["metrics"]
    assert {int(each["step"]) for each in steps} == {0, 1, 2}
    params = {param["key"]: param["value"] for param in data["data"]["params"]}
    assert params["recipe.0.kind"] == "prune.channel" and params["recipe.0.recovery.epochs"] == "1"
    assert (
        params["constraints.min_compression_ratio"] == "2.0"
        and json.loads(params["recipe"])[1]["kind"] == "quantize.static"
    )
    names = {file.name for file in (mlflow.folder / "artifacts").glob(f"*/{made['run']}/artifacts/model/*")}
    assert {"model.onnx", "model.pt2", "report.html", "report.json", "MLmodel"} <= names


def test_a_push_that_is_made_twice_makes_one_run_and_one_version(service: Up, mlflow: MlflowProcess, job: Job) -> None:
    first, second = (pushed(service, mlflow, job, "--register", "twice") for _ in range(2))
    assert first == second and first["version"] == "1"


def test_a_model_of_the_registry_becomes_a_model_here(service: Up, pith: Pith, mlflow: MlflowProcess) -> None:
    content = saved(Cnn)
    version = mlflow.register("digits", {"MLmodel": b"flavors: {}\n", "data/net.pt2": content})
    made = json.loads(run(service, mlflow.url, "pull", f"models:/digits/{version}", "--json", "--name", "digits 1"))
    assert (made["status"], made["name"]) == ("ready", "digits 1")
    assert made["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"


REFUSED = {
    "a pickle": ({"MLmodel": b"x", "data/model.pth": b"x"}, "holds no .pt2, .onnx or .safetensors file"),
    "two of them": ({"a.pt2": b"x", "b.pt2": b"y"}, "but a.pt2, b.pt2"),
}


@pytest.mark.parametrize(("files", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_sent_is_said(service: Up, mlflow: MlflowProcess, files: dict[str, bytes], said: str) -> None:
    version = mlflow.register("refused", files)
    assert said in run(service, mlflow.url, "pull", f"models:/refused/{version}", code=1)


def test_a_model_that_is_not_there(service: Up, mlflow: MlflowProcess) -> None:
    said = run(service, mlflow.url, "pull", "models:/nothing/1", code=1)
    assert "MLflow did not do it, with models:/nothing/1" in said and said.count("\n") == 1


def test_a_server_that_is_away(service: Up, job: Job) -> None:
    words = ("push", job.id, "--experiment", "x")
    assert "MLflow did not do it" in run(service, f"http://127.0.0.1:{free_port()}", *words, code=1)


def test_a_job_without_an_onnx_file_registers_nothing(
    service: Up, pith: Pith, mlflow: MlflowProcess, submit: Submit
) -> None:
    other = pith.jobs.wait(submit(RECIPE[0], outputs=["pt2"]).id)
    words = ("push", other.id, "--experiment", "compression")
    assert "has no model.onnx" in run(service, mlflow.url, *words, "--register", "none", code=1)
    assert json.loads(run(service, mlflow.url, *words, "--json"))["version"] is None


def test_the_flavour_says_where_the_model_is(service: Up, mlflow: MlflowProcess, job: Job) -> None:
    run_id = pushed(service, mlflow, job)["run"]
    (found,) = (mlflow.folder / "artifacts").glob(f"*/{run_id}/artifacts/model/MLmodel")
    said = yaml.safe_load(found.read_text())["flavors"]
    assert said["onnx"]["data"] == said["python_function"]["data"] == "model.onnx"
