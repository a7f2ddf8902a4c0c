"""From an upload to a job through the real check, with faults on the way."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from pith.client import Pith
from pith.dataset import DatasetSchema
from pith.intake import Architecture
from pith.job import JobSpec
from tests.app.embedded import Up
from tests.e2e.test_faults import worker_of
from tests.engine.tiny import Cnn, arrays, saved
from tests.processes import descendants
from tests.waiting import eventually


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "model.pt2").write_bytes(saved(Cnn))
    np.savez(tmp_path / "data.npz", **arrays())
    return tmp_path


def test_three_requests_in_a_row(service: Up, files: Path) -> None:
    """As somebody with curl alone would do it, without waiting for anything."""
    model = curl("-T", files / "model.pt2", f"{service.url}/v1/models/")
    dataset = curl("-T", files / "data.npz", f"{service.url}/v1/datasets/")
    spec = {"model": model["id"], "dataset": dataset["id"], "recipe": [{"kind": "finetune.full"}], "outputs": ["onnx"]}
    job = curl("-H", "Content-Type: application/json", "-d", json.dumps(spec), f"{service.url}/v1/jobs")
    with Pith(service.url) as pith:
        assert pith.jobs.wait(job["id"]).status == "succeeded"
    checked = curl(f"{service.url}/v1/models/{model['id']}?wait=60")
    assert checked["status"] == "ready" and checked["facts"]["format"] == "pt2"
    preview = curl(f"{service.url}/v1/datasets/{dataset['id']}/preview")
    assert preview["samples"] and {split["name"] for split in preview["splits"]} == {"train", "test"}


def curl(*words: object) -> dict:
    return json.loads(subprocess.run(["curl", "-sS", *map(str, words)], check=True, capture_output=True).stdout)


def test_two_identical_uploads_at_once_are_two_models_of_the_same_bytes(pith: Pith, files: Path, service: Up) -> None:
    found = []

    def upload() -> None:
        with Pith(service.url) as own:
            found.append(own.models.ready(own.models.upload(files / "model.pt2").id))

    threads = [threading.Thread(target=upload) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = found
    assert first.id != second.id and first.digest == second.digest and first.facts.layers == second.facts.layers
    pith.models.delete(first.id)
    job = pith.jobs.submit(JobSpec.model_validate({"model": second.id, "recipe": [{"kind": "quantize.dynamic"}]}))
    assert pith.jobs.wait(job.id).status == "succeeded", "the other's bytes are still there"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_checker_that_is_killed_is_followed_by_a_second_attempt(service: Up, pith: Pith, files: Path) -> None:
    pith.models.ready(pith.models.upload(files / "model.pt2").id)  # its fork server stands by
    checker = worker_of(service, "intake")
    assert descendants(checker)
    os.kill(checker, signal.SIGSTOP)
    model = pith.models.upload(files / "model.pt2")
    os.kill(checker, signal.SIGKILL)
    found = pith.models.checked(model.id)
    assert found.status == "ready"
    assert worker_of(service, "intake") != checker


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_upload_without_redis_is_checked_when_it_is_back(service: Up, pith: Pith, files: Path) -> None:
    os.kill(eventually(lambda: service.child("redis-server")), signal.SIGKILL)
    model = pith.models.upload(files / "model.pt2")
    assert pith.models.ready(model.id).status == "ready"


def test_a_model_by_the_name_of_its_architecture(pith: Pith) -> None:
    fresh = pith.build(Architecture(name="pith/lenet_300_100", arguments={"num_classes": 4}, seed=5))
    ready = pith.models.ready(fresh.id)
    assert ready.digest is None and ready.facts is not None and ready.facts.format == "architecture"


def test_a_table_is_read_as_its_schema_says(pith: Pith, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(400, 3))
    lines = ["a,b,c,grade", *(f"{a:.4f},{b:.4f},{c:.4f},{'yes' if a + b > 0 else 'no'}" for a, b, c in rows)]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines))
    schema = DatasetSchema(task="tabular-classification", label="grade")
    dataset = pith.datasets.ready(pith.datasets.upload(path, given=schema).id)
    assert dataset.facts is not None and dataset.facts.classes == ("no", "yes")
    assert {split.name: split.made for split in dataset.facts.splits} == {"train": False, "test": True}
