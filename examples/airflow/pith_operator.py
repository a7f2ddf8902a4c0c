"""Pith from Airflow 3: an operator that submits a job and waits, and a pair that waits without holding a worker.

Copy this file into the folder of your DAGs, and ``pip install`` Pith's client where the tasks run. The service's
address is the Airflow variable ``pith_url`` (AIRFLOW_VAR_PITH_URL), or http://127.0.0.1:8000; its key, if it asks
for one, is PITH_API_KEY in the environment of the tasks.

A task submits under an Idempotency-Key made of its DAG run, its id and its spec. So a retry takes up the job that its
first try submitted, wherever that try was lost; only after a job that has failed or was cancelled it makes another one.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pith.client import Pith
from pith.errors import PithError
from pith.job import FINAL, Event, Job, JobSpec
from pith.requirements import Outcome, check, outcome, parse

URL = "{{ var.value.get('pith_url', 'http://127.0.0.1:8000') }}"


def service(url: str) -> Pith:
    return Pith(url, os.environ.get("PITH_API_KEY"))


class PithCompress(BaseOperator):
    """Submit a job spec, wait for its end, and fail when the job does or when a requirement is not met.

    The job is cancelled when the task is killed. What it returns is the job's id, its verdict and its numbers.
    """

    template_fields: Sequence[str] = ("spec", "require", "url")

    def __init__(self, *, spec: dict[str, Any], require: Sequence[str] = (), url: str = URL, **rest: Any) -> None:
        super().__init__(**rest)
        self.spec = spec
        self.require = require
        self.url = url
        self._job: str | None = None

    def execute(self, context: Any) -> dict[str, Any]:
        with service(self.url) as pith:
            job = submitted(pith, self.spec, self.require, context)
            self._job = job.id
            self.log.info("%s", pith.jobs.url(job.id))
            return _passed(_outcome(pith, pith.jobs.wait(job.id, self._say), self.require))

    def on_kill(self) -> None:
        if self._job is not None:
            with service(self.url) as pith:
                self.log.info("job %s is %s", self._job, pith.jobs.cancel(self._job).status)

    def _say(self, event: Event) -> None:
        self.log.info("%s %s", event.type, event.message)


class PithSubmit(BaseOperator):
    """Submit a job spec and go; what it returns is the job's id, for a PithJobSensor."""

    template_fields: Sequence[str] = ("spec", "url")

    def __init__(self, *, spec: dict[str, Any], url: str = URL, **rest: Any) -> None:
        super().__init__(**rest)
        self.spec = spec
        self.url = url

    def execute(self, context: Any) -> str:
        with service(self.url) as pith:
            return submitted(pith, self.spec, (), context).id


class PithJobSensor(BaseSensorOperator):
    """Look from time to time whether a job has ended, as ``mode="reschedule"`` has it; then as PithCompress."""

    template_fields: Sequence[str] = ("job", "require", "url")

    def __init__(self, *, job: str, require: Sequence[str] = (), url: str = URL, **rest: Any) -> None:
        super().__init__(**{"mode": "reschedule", "poke_interval": 60, **rest})
        self.job = job
        self.require = require
        self.url = url

    def poke(self, context: Any) -> PokeReturnValue:
        with service(self.url) as pith:
            job = pith.jobs.get(self.job)
            if job.status not in FINAL:
                self.log.info("%s is %s: %.0f %%", job.id, job.status, 100 * job.progress.fraction)
                return PokeReturnValue(is_done=False)
            return PokeReturnValue(is_done=True, xcom_value=_passed(_outcome(pith, job, self.require)))


def uploaded(path: str, of: str = "models", url: str = "http://127.0.0.1:8000") -> str:
    """The id of a model, or of ``datasets``, once it was checked; the same file is uploaded once a week."""
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with service(url) as pith:
        uploads = pith.models if of == "models" else pith.datasets
        return uploads.ready(uploads.upload(path, key=_name(f"{of} {Path(path).name} {digest}")).id).id


def fetched(job: str, folder: str, url: str = "http://127.0.0.1:8000") -> list[str]:
    """Download all that a job has made."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with service(url) as pith:
        return [str(pith.jobs.download(artifact, folder)) for artifact in pith.jobs.artifacts(job)]


def submitted(pith: Pith, spec: dict[str, Any], require: Sequence[str], context: Any) -> Job:
    """The job of this task in this run of its DAG."""
    task, asked = context["ti"], _understood(spec, require)
    key = "\0".join([task.dag_id, task.run_id, task.task_id, str(task.map_index), asked.model_dump_json()])
    job = pith.jobs.submit(asked, _name(key))
    while job.status in {"failed", "cancelled"}:
        key = f"{key}\0{job.id}"
        job = pith.jobs.submit(asked, _name(key))
    return job


def _name(key: str) -> str:
    return f"airflow {hashlib.sha256(key.encode()).hexdigest()}"


def _understood(spec: dict[str, Any], require: Sequence[str]) -> JobSpec:
    """Another try would find the same wrong: it fails for good."""
    try:
        asked = JobSpec.model_validate(spec)
        asked.check()
        check(tuple(parse(text) for text in require), asked)
    except (PithError, ValueError) as error:
        raise AirflowFailException(str(error)) from error
    return asked


def _outcome(pith: Pith, job: Job, require: Sequence[str]) -> Outcome:
    report = pith.jobs.report(job.id) if job.status == "succeeded" else None
    return outcome(job, report, tuple(parse(text) for text in require))


def _passed(found: Outcome) -> dict[str, Any]:
    if found.report is None:
        why = found.job.error.detail if found.job.error else f"it was {found.job.status}"
        raise AirflowException(f"job {found.job.id}: {why}")
    if not found.passed:
        wrong = [str(each) for each in found.requirements if not each.met]
        raise AirflowFailException(f"job {found.job.id}, verdict {found.job.verdict}: {'; '.join(wrong)}")
    compared = found.report.comparison
    return {
        "job": found.job.id,
        "verdict": found.job.verdict,
        "compression_ratio": compared.compression_ratio,
        "speedup": compared.speedup,
        "metric_drop": compared.quality_drop,
    }
