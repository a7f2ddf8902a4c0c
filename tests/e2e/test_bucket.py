"""An API and a worker on two machines, which share PostgreSQL, Redis and a bucket, and no folder."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from pith.client import Pith
from pith.job import JobSpec
from tests.app.api_process import ApiProcess, environment, running
from tests.engine.tiny import Cnn, arrays, saved
from tests.store.postgres_process import PostgresProcess
from tests.store.redis_process import RedisProcess
from tests.store.shop import digest
from tests.store.swift_process import SwiftProcess
from tests.waiting import eventually


@pytest.fixture(scope="module")
def server() -> Iterator[SwiftProcess]:
    """One of its own: a test stops it."""
    server = SwiftProcess()
    yield server
    server.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machines")


@pytest.fixture(scope="module")
def shared(server: SwiftProcess, folder: Path) -> Iterator[dict[str, str]]:
    redis, postgres = RedisProcess(folder / "redis"), PostgresProcess()
    redis.start()
    url = postgres.create_database("machines")
    own = {"PITH_DATABASE_URL": url, "PITH_REDIS_URL": redis.url, "PITH_THREADS": "1"}
    yield {**server.environment(server.create_bucket()), **own, "PITH_DEVICE": "cpu"}
    redis.kill()
    postgres.close()


@pytest.fixture(scope="module")
def api(shared: dict[str, str], folder: Path) -> Iterator[ApiProcess]:
    with running(folder / "api", **shared) as api:
        yield api


@pytest.fixture(scope="module")
def worker(api: ApiProcess, shared: dict[str, str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker"], env=environment(folder / "worker", **shared), stderr=log
        )
    yield process
    process.terminate()
    process.wait(60)


@pytest.fixture(scope="module")
def pith(api: ApiProcess, worker: "subprocess.Popen[bytes]") -> Iterator[Pith]:
    with Pith(api.url) as client:
        yield client


def test_a_job_goes_from_its_upload_to_its_artifacts(pith: Pith, api: ApiProcess, folder: Path) -> None:
    (folder / "model.pt2").write_bytes(saved(Cnn))
    np.savez(folder / "dataset.npz", **arrays())
    model, dataset = pith.models.upload(folder / "model.pt2"), pith.datasets.upload(folder / "dataset.npz")
    ids = {"model": pith.models.ready(model.id).id, "dataset": pith.datasets.ready(dataset.id).id}
    spec = {**ids, "recipe": [{"kind": "finetune.full", "epochs": 2}], "outputs": ["onnx"]}
    job = pith.jobs.wait(pith.jobs.submit(JobSpec.model_validate(spec)).id)
    assert job.status == "succeeded", job.error
    for artifact in job.artifacts:
        got = httpx.get(f"{api.url}/v1/jobs/{job.id}/artifacts/{artifact.name}")
        assert (digest(got.content), len(got.content)) == (artifact.digest, artifact.size_bytes)
    assert not (folder / "api").exists() or not any(file.is_file() for file in (folder / "api").rglob("*"))
    assert not any(file.is_file() for file in (folder / "worker").rglob("*"))


def test_a_check_waits_while_the_storage_is_away(
    pith: Pith, api: ApiProcess, server: SwiftProcess, folder: Path
) -> None:
    model = pith.models.upload(folder / "model.pt2")
    server.crash()
    try:
        ready = httpx.get(f"{api.url}/readyz", timeout=60)
        assert (ready.status_code, ready.json()["checks"]["storage"]["reason"]) == (
            503,
            "The storage does not answer; try again in a few seconds.",
        )
        refused = httpx.put(f"{api.url}/v1/models", content=os.urandom(100), timeout=60)
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    finally:
        server.start()
    assert pith.models.ready(model.id).status == "ready"
    eventually(lambda: httpx.get(f"{api.url}/readyz").status_code == 200)
