"""Hostile uploads over HTTP, through API, queue, worker and sandbox: rejected in words, and nothing stays.

A tenth of the corpus; ``make hostile`` sends all of it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pith.client import Pith
from pith.job import JobSpec
from tests.app.embedded import Up
from tests.engine.tiny import Cnn, arrays, saved
from tests.hostile.corpus import CORPUS, sample
from tests.hostile.delivery import Delivered, deliver, forget
from tests.hostile.service import complaint, running
from tests.hostile.trial import listener

NAMES = [case.name for case in sample()]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with running(tmp_path_factory.mktemp("hostile")) as service:
        yield service


@pytest.fixture(scope="module")
def checker(service: Up) -> int | None:
    """The process of the worker that checks, before anything was sent."""
    return _checker(service)


def _checker(service: Up) -> int | None:
    return service.child("-m worker")


@pytest.fixture(scope="module")
def delivered(
    service: Up, checker: int | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Delivered]]:
    folder = tmp_path_factory.mktemp("files")
    with listener() as port:
        yield deliver(service.url, sample(), folder, port.port)
        assert not port.called() and not list(folder.rglob("canary")), "code from one of these files ran"


@pytest.mark.parametrize("name", NAMES)
def test_rejected(name: str, delivered: dict[str, Delivered], service: Up) -> None:
    assert complaint(CORPUS[name], delivered[name], service.log.parent) == ""


def test_afterwards_the_worker_lives_and_the_next_upload_is_taken(
    delivered: dict[str, Delivered], service: Up, checker: int | None, tmp_path: Path
) -> None:
    assert _checker(service) == checker is not None, "the worker died of one of them"
    (tmp_path / "model.pt2").write_bytes(saved(Cnn))
    np.savez(tmp_path / "data.npz", **arrays())  # type: ignore[arg-type]
    with Pith(service.url) as pith:
        model = pith.models.upload(tmp_path / "model.pt2").id
        dataset = pith.datasets.upload(tmp_path / "data.npz").id
        assert pith.models.ready(model).status == pith.datasets.ready(dataset).status == "ready"
        told = {event.message: event.data for event in pith.jobs.events(pith.models.get(model).check)}
        (announced,) = re.findall(r"protections around jobs: (.*)", service.log.read_text())[:1]
        around = told["protections around this check"]["sandbox"]
        assert {*announced.split(", ")} - {"none"} <= {*around}, "what the worker said is on was on"
        recipe = [{"kind": "quantize.dynamic"}]
        spec = JobSpec.model_validate({"model": model, "dataset": dataset, "recipe": recipe, "outputs": ["onnx"]})
        assert pith.jobs.wait(pith.jobs.submit(spec).id).status == "succeeded"


def test_nothing_is_left_of_what_was_rejected(delivered: dict[str, Delivered], service: Up) -> None:
    data = service.log.parent / "data"
    assert not list((data / "work").glob("*/*")), "the folders of checks are gone"
    uploads = {one.upload.digest for one in delivered.values() if one.upload is not None and one.upload.digest}
    with Pith(service.url) as pith:
        kept = {one.digest for noun in (pith.models, pith.datasets) for one in noun.list(status="ready")}
        forget(pith, delivered.values())
        assert not list(pith.models.list(status="rejected")) and not list(pith.datasets.list(status="rejected"))
    stored = {f"sha256:{path.name}" for path in (data / "blobs" / "sha256").rglob("*") if path.is_file()}
    assert not stored & (uploads - kept), "the bytes of a deleted upload"
