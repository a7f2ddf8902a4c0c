"""What a worker's jobs compute on, and what a job on a GPU may reach."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.jobdir import JobDir
from pith.errors import PithError
from tests.store.shop import Shop
from worker import devices, sandbox, staging
from worker.sandbox import Policy
from worker.settings import WorkerSettings


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /dev as a machine with two GPUs has it."""
    for name in ("null", "nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "sda"):
        (tmp_path / name).touch()
    (tmp_path / "nvidia-caps").mkdir()
    monkeypatch.setattr(devices, "NODES", tmp_path)
    devices._asked.cache_clear()
    return tmp_path


def answers(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """What is asked of torch is asked of this program, by a real process."""
    run = subprocess.run
    monkeypatch.setattr(
        devices.subprocess, "run", lambda command, **options: run((sys.executable, "-c", code), **options)
    )


@pytest.mark.parametrize(
    ("device", "seen", "found"), [("auto", 2, "gpu"), ("auto", 0, "cpu"), ("cpu", 2, "cpu"), ("cuda", 1, "gpu")]
)
def test_a_worker_has_a_gpu_if_torch_sees_one_and_it_may(
    device: str, seen: int, found: str, nodes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, f"print({seen})")
    assert devices.resolve(WorkerSettings.model_validate({"device": device})) == found


@pytest.mark.parametrize("code", ["print('none')", "raise SystemExit(1)"])
def test_a_torch_that_does_not_work_has_no_gpu(code: str, nodes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, code)
    assert devices.resolve(WorkerSettings()) == "cpu"


def test_without_device_nodes_torch_is_not_asked(nodes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "print(1)")
    monkeypatch.setattr(devices, "NODES", tmp_path / "nowhere")
    assert devices.resolve(WorkerSettings()) == "cpu"


def test_the_real_torch_is_asked(nodes: Path) -> None:
    assert devices.gpus() >= 0


def test_a_gpu_that_is_not_there_refuses_to_start(nodes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "print(0)")
    with pytest.raises(PithError, match="PITH_DEVICE is 'gpu', which is refused: torch sees no GPU here; set auto or"):
        devices.resolve(WorkerSettings(device="gpu"))


def test_more_processes_than_gpus_refuse_to_start(nodes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "print(2)")
    assert devices.resolve(WorkerSettings(job_processes=2)) == "gpu"
    with pytest.raises(PithError, match=r"PITH_JOB_PROCESSES is 3, which is refused: .* torch sees 2; set 2 or less"):
        devices.resolve(WorkerSettings(job_processes=3))


def test_a_checker_does_not_look_for_gpus(nodes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "print(1)")
    assert devices.resolve(WorkerSettings(worker_queues=("intake",))) == "cpu"


def test_only_a_job_on_a_gpu_may_reach_its_device_nodes_and_what_the_driver_says(nodes: Path, tmp_path: Path) -> None:
    def names(gpu: bool) -> set[str]:
        return {path.name for path in sandbox.devices(gpu, nodes) if path.exists()}

    assert names(False) == {"null"}
    assert names(True) == {"null", "nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-caps"}
    on_cpu, on_gpu = (set(sandbox.readable(Policy(job_dir=tmp_path, gpu=gpu))) for gpu in (False, True))
    more = {str(path) for path in on_gpu - on_cpu}
    assert {"/proc/driver/nvidia", "/sys/bus/pci"} <= more and not {"/", "/etc", "/proc", "/dev", "/home"} & more


@pytest.mark.parametrize(
    ("asked", "own", "given"),
    [("auto", "gpu", "cuda"), ("gpu", "gpu", "cuda"), ("cpu", "gpu", "cpu"), ("auto", "cpu", "cpu")],
)
def test_the_engine_is_told_what_to_compute_on(asked: str, own: Any, given: str, shop: Shop, tmp_path: Path) -> None:
    job, folder = shop.job(device=asked), JobDir(tmp_path / "work" / "1")
    claim = shop.jobs.claim(job.id, "w", 60)
    assert claim is not None
    staging.stage(claim, shop.blobs, folder, WorkerSettings(), own)
    assert folder.read().device == given


def test_a_check_of_an_upload_has_no_gpu(shop: Shop) -> None:
    claim = shop.jobs.claim(shop.unchecked_model().check, "w", 60)
    assert claim is not None and staging.device_for(claim, "gpu") == "cpu"
