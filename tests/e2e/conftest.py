"""One whole service for the end-to-end tests: API, scheduler, worker, Redis, with leases of a few seconds."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from pith.client import Pith
from pith.job import Job, JobSpec
from tests.app.embedded import Up, up
from tests.engine.tiny import Cnn, arrays, saved
from tests.waiting import eventually

LEASES = {"PITH_LEASE_SECONDS": 4, "PITH_HEARTBEAT_SECONDS": 1, "PITH_REAP_SECONDS": 1}
Submit = Callable[..., Job]


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("service") / "data", PITH_THREADS=1, **LEASES) as running:
        eventually(running.ready)
        eventually(lambda: httpx.get(f"{running.url}/readyz").json()["status"] == "ok")
        yield running
        running.process.terminate()
        assert running.process.wait(60) == 0, running.log.read_text()


@pytest.fixture(scope="session")
def pith(service: Up) -> Iterator[Pith]:
    with Pith(service.url) as client:
        yield client


@pytest.fixture(scope="session")
def ids(pith: Pith, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A model and a dataset that fit each other, uploaded, checked and found good."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "model.pt2").write_bytes(saved(Cnn))
    np.savez(folder / "dataset.npz", **arrays())
    model, dataset = pith.models.upload(folder / "model.pt2"), pith.datasets.upload(folder / "dataset.npz")
    return {"model": pith.models.ready(model.id).id, "dataset": pith.datasets.ready(dataset.id).id}


@pytest.fixture(scope="session")
def submit(pith: Pith, ids: dict[str, str]) -> Submit:
    """Submit a recipe on that model, or on another one."""

    def submitted(*recipe: dict[str, Any], **changes: Any) -> Job:
        return pith.jobs.submit(JobSpec.model_validate({**ids, "recipe": list(recipe), **changes}))

    return submitted
