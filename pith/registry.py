"""MLflow's tracking server and model registry, from the caller's side: a job's result into it, a model out of it.

Needs ``pip install 'pith[mlflow]'``. Speaks through MLflow's own client, whose settings hold: MLFLOW_TRACKING_URI,
MLFLOW_TRACKING_TOKEN and the rest. Not covered: models that MLflow keeps as pickles.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from zipfile import ZIP_STORED, ZipFile

from mlflow import MlflowClient, artifacts
from mlflow.entities import Metric, Param, RunTag
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from pith.base import Frozen
from pith.client import Pith
from pith.errors import PithError
from pith.job import Job, JobSpec
from pith.report import Report

T = TypeVar("T")
FOLDER = "model"
"""Of the run: what the registered version is made of."""
JOB_TAG = "pith.job"
SUFFIXES = (".pt2", ".onnx", ".safetensors")
_LONGEST = 6000
_BATCH = 100
_RETRIES = 3


class Pushed(Frozen):
    """Where a job's result is now; ``version`` is null unless it was registered."""

    run: str
    experiment: str
    name: str | None
    version: str | None


class Registry:
    """One MLflow server."""

    def __init__(self, uri: str | None = None) -> None:
        if not MLFLOW_HTTP_REQUEST_MAX_RETRIES.is_set():
            MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(_RETRIES)
        self._uri = uri
        self._client = self._told("its address", lambda: MlflowClient(uri))

    def push(self, pith: Pith, job: Job, experiment: str, name: str | None = None, source: str | None = None) -> Pushed:
        """Log a job that has succeeded as a run, and register its ONNX model as a version of ``name``.

        Once more, it goes on with the run and the version that are there. ``source`` is what the model came from, such
        as models:/NAME/3.

        Raises:
            PithError: ``registry_failed``, ``registry_needs_onnx``.
        """
        report = pith.jobs.report(job.id)
        files = {artifact.name: artifact for artifact in pith.jobs.artifacts(job.id)}
        if name is not None and "model.onnx" not in files:
            raise PithError("registry_needs_onnx", id=job.id, found=", ".join(files))
        tags = {**_tags(job, report), **({} if source is None else {"pith.source": source})}
        run = self._told(f"the experiment {experiment}", lambda: self._run(experiment, job.id))
        with TemporaryDirectory() as folder:
            for artifact in files.values():
                pith.jobs.download(artifact, Path(folder) / artifact.name)
            if "model.onnx" in files:
                _describe(Path(folder), report)
            self._told(f"the run {run}", lambda: self._log(run, report, tags, Path(folder)))
        version = (
            None if name is None else self._told(f"the model {name}", lambda: self._version(name, run, report, tags))
        )
        return Pushed(run=run, experiment=experiment, name=name, version=version)

    def fetch(self, uri: str, to: Path) -> Path:
        """Download a model, such as models:/NAME/VERSION, models:/NAME@ALIAS or runs:/RUN/model, as one file.

        Raises:
            PithError: ``registry_failed``, ``registry_model_refused``.
        """
        found = Path(
            self._told(
                uri,
                lambda: artifacts.download_artifacts(artifact_uri=uri, dst_path=str(to), tracking_uri=self._uri),
            )
        )
        return found if found.is_file() else _one_file(uri, found, to)

    def _run(self, experiment: str, job: str) -> str:
        """The run of this job: the one that is there, or a new one."""
        known = self._client.get_experiment_by_name(experiment)
        id = self._client.create_experiment(experiment) if known is None else known.experiment_id
        for run in self._client.search_runs([id], f"tags.`{JOB_TAG}` = '{job}'", max_results=1):
            return str(run.info.run_id)
        return str(self._client.create_run(id, tags={JOB_TAG: job}, run_name=job).info.run_id)

    def _log(self, run: str, report: Report, tags: Mapping[str, str], folder: Path) -> None:
        params = [Param(key, value) for key, value in _params(report.spec)]
        for start in range(0, len(params), _BATCH):
            self._client.log_batch(run, params=params[start : start + _BATCH])
        self._client.log_batch(run, tags=[RunTag(*pair) for pair in tags.items()], metrics=list(_metrics(report)))
        self._client.log_artifacts(run, str(folder), FOLDER)
        self._client.set_terminated(run)

    def _version(self, name: str, run: str, report: Report, tags: Mapping[str, str]) -> str:
        for known in self._client.search_model_versions(f"name = '{_quoted(name)}' and run_id = '{run}'"):
            return str(known.version)
        if not self._client.search_registered_models(f"name = '{_quoted(name)}'"):
            self._client.create_registered_model(name)
        where = f"{self._client.get_run(run).info.artifact_uri}/{FOLDER}"
        described = " ".join(report.headline)
        made = self._client.create_model_version(name, where, run, tags=dict(tags), description=described)
        return str(made.version)

    def _told(self, what: str, call: Callable[[], T]) -> T:
        try:
            # MLflow prints addresses of runs; what is read by a program stays clean of them.
            with redirect_stdout(sys.stderr):
                return call()
        except (MlflowException, OSError) as fault:
            reason = " ".join(str(fault).split())[:400].rstrip(".")
            raise PithError("registry_failed", what=what, reason=reason) from fault


def _quoted(name: str) -> str:
    if "'" in name:
        raise MlflowException(f"the name {name} has a quotation mark")
    return name


def _tags(job: Job, report: Report) -> dict[str, str]:
    tags = {
        JOB_TAG: job.id,
        "pith.verdict": report.verdict,
        "pith.compression_ratio": f"{report.comparison.compression_ratio:.6g}",
        "pith.model": report.spec.model,
        "pith.model_digest": report.model_digest,
        "pith.dataset": report.spec.dataset,
        "pith.dataset_digest": report.dataset_digest,
        "pith.device": report.environment.device_name,
    }
    return {key: value for key, value in tags.items() if value is not None}


def _metrics(report: Report) -> Iterator[Metric]:
    """``baseline/accuracy``, ``result/accuracy``; ``steps/accuracy`` over the recipe, 0 being the baseline."""
    at = int(report.created_at.timestamp() * 1000)
    compared = {
        "compression_ratio": report.comparison.compression_ratio,
        "speedup": report.comparison.speedup,
        "metric_drop": report.comparison.quality_drop,
        "metric_drop_upper": (report.comparison.quality_drop_interval or (None, None))[1],
        "flipped_to_wrong": report.comparison.flipped_to_wrong if report.comparison.samples else None,
        "flipped_to_right": report.comparison.flipped_to_right if report.comparison.samples else None,
    }
    yield from (Metric(name, value, at, 0) for name, value in compared.items() if value is not None)
    for group, measurement in (("baseline", report.baseline), ("result", report.result)):
        yield from (Metric(f"{group}/{metric.name}", metric.value, at, 0) for metric in measurement.metrics)
    for number, measurement in enumerate((report.baseline, *(step.after for step in report.steps))):
        yield from (Metric(f"steps/{metric.name}", metric.value, at, number) for metric in measurement.metrics)


def _params(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """``recipe.0.kind``, ``recipe.0.pruning_ratio``, ``seed`` …, and the whole ``recipe`` as JSON unless it is long."""
    said = spec.model_dump(mode="json", exclude_none=True)
    if len(recipe := json.dumps(said["recipe"])) <= _LONGEST:
        yield "recipe", recipe
    for key, value in _leaves(said):
        yield key[:250], str(value)[:_LONGEST]


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if pairs is None:
        yield place, value
        return
    for key, inner in pairs:
        yield from _leaves(inner, f"{place}.{key}" if place else str(key))


def _describe(folder: Path, report: Report) -> None:
    """What makes MLflow take the folder for an ONNX model (mlflow.onnx.load_model, mlflow.pyfunc.load_model)."""
    versions, providers = report.environment.versions, ["CPUExecutionProvider"]
    model = Model()
    model.add_flavor("onnx", onnx_version=versions.get("onnx", ""), data="model.onnx", providers=providers)
    model.add_flavor("python_function", loader_module="mlflow.onnx", data="model.onnx")
    model.save(str(folder / "MLmodel"))
    needed = [f"{name}=={versions[name]}" if name in versions else name for name in ("onnx", "onnxruntime")]
    (folder / "requirements.txt").write_text("\n".join(["mlflow", *needed, ""]))


def _one_file(uri: str, folder: Path, to: Path) -> Path:
    """The model file of a folder, or an archive of what belongs together: an ONNX model in parts, a Hugging Face
    folder."""
    for suffix in SUFFIXES:
        found = sorted(folder.rglob(f"*{suffix}"))
        if len(found) != 1:
            continue
        model = found[0]
        if suffix == ".safetensors" and (model.parent / "config.json").exists():
            return _archive(model.parent, to, "**/*")
        data = [] if suffix != ".onnx" else [one for one in model.parent.iterdir() if model.name in one.name]
        return model if len(data) < 2 else _archive(model.parent, to, f"*{model.name}*")
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    raise PithError("registry_model_refused", uri=uri, found=", ".join(names[:10]) or "nothing")


def _archive(folder: Path, to: Path, pattern: str) -> Path:
    made = to / f"{folder.name}.zip"
    inside = sorted(path for path in folder.glob(pattern) if path.is_file())
    with ZipFile(made, "x", ZIP_STORED) as archive:
        for path in inside:
            archive.write(path, path.relative_to(folder))
    return made
