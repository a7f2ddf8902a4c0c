"""`pith up` starts a worker for each GPU, without torch."""

from pathlib import Path

import pytest

from app import gpus, up
from app.settings import UpSettings


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the driver of a machine with two GPUs shows."""
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / name).mkdir(parents=True)
    monkeypatch.setattr(gpus, "DRIVER", tmp_path / "gpus")
    return tmp_path / "gpus"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (None, ("0", "1")),
        ("1", ("1",)),
        (" GPU-8a,MIG-3", ("GPU-8a", "MIG-3")),
        ("-1", ()),
        ("1,-1,0", ("1",)),
    ],
)
def test_gpus_are_those_that_cuda_would_show(said: str | None, found: tuple[str, ...], two: Path) -> None:
    assert gpus.visible({} if said is None else {"CUDA_VISIBLE_DEVICES": said}) == found


def test_no_driver_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "DRIVER", tmp_path / "nowhere")
    assert gpus.visible({}) == () == gpus.visible({"CUDA_VISIBLE_DEVICES": "0"})


def told(**options: object) -> list[tuple[str, str, str]]:
    """Each worker's name, queues and GPUs."""
    found = up.workers({}, UpSettings.model_validate(options))
    return [(name, its["PITH_WORKER_QUEUES"], its.get("CUDA_VISIBLE_DEVICES", "")) for name, its in found]


def test_each_gpu_has_a_worker_and_jobs_for_the_cpu_have_one(two: Path) -> None:
    assert told() == [("worker-0", "jobs", "0"), ("worker-1", "jobs", "1"), ("worker", "own", "")]
    assert told(device="gpu") == [("worker-0", "jobs", "0"), ("worker-1", "jobs", "1")]
    assert told(job_processes=2) == [("worker-0", "jobs", "0,1"), ("worker", "own", "")]
    assert told(job_processes=3) == [("worker-0", "jobs", "0,1"), ("worker", "own", "")], "it says what is wrong"


def test_without_gpus_there_is_one_worker(two: Path) -> None:
    assert told(device="cpu") == [("worker", "jobs", "")]
