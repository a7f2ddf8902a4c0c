"""Processes that train one job together, in the real sandbox: they reach one another, and nobody else."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.jobdir import JobDir
from pith.errors import PithError
from pith.report import Report
from tests.engine.tiny import Mlp, job_folder
from tests.processes import children, descendants, is_gone
from tests.waiting import eventually
from tests.worker.test_sandbox import INTEL, run_script
from worker import application, sandbox
from worker.sandbox import Policy
from worker.settings import WorkerSettings
from worker.warm_client import WarmServer

TRIES = """
import json, socket
def tried(action):
    try:
        action()
        return "done"
    except OSError as error:
        return f"refused: {error}"
here = socket.create_server(("127.0.0.1", 0)) if "network_namespace" in sandbox else None
facts = json.loads((folder.root / "facts.json").read_text())
found = {"sandbox": list(sandbox)}
found["one another"] = tried(lambda: socket.create_connection(here.getsockname(), 5))
found["the machine"] = tried(lambda: socket.create_connection(("127.0.0.1", facts["tcp"]), 5))
found["other machines"] = tried(lambda: socket.create_connection(("192.0.2.1", 80), 5))
found["a datagram"] = tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 9)))
found["a socket by path"] = tried(lambda: socket.socket(socket.AF_UNIX))
found["IPv6"] = tried(lambda: socket.socket(socket.AF_INET6))
found["the kernel's audit"] = tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9))
found["packets"] = tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
(folder.out / "found.json").write_text(json.dumps(found))
"""
REACHED = {"one another"}


@pytest.fixture(scope="module")
def engine() -> Iterator[WarmServer]:
    server = WarmServer()
    yield server
    server.close()


@INTEL
def test_they_reach_one_another_and_nobody_else(server: WarmServer, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as outside:
        policy = Policy(job_dir=tmp_path / "job", processes=2)
        found = run_script(server, policy, TRIES, tcp=outside.getsockname()[1])
    if missing := set(sandbox.LAYERS) - {"landlock_network"} - set(found["sandbox"]):
        pytest.skip(f"this system has no {', '.join(missing)}")
    assert "landlock_network" not in found.pop("sandbox")
    assert {what for what, how in found.items() if how == "done"} == REACHED


def _job(root: Path, **given: Any) -> JobDir:
    step = {"kind": "finetune.full", "batch_size": 32, **given}
    folder = job_folder(root, [step], net=Mlp, outputs=["safetensors"])
    job = json.loads(folder.spec.read_text()) | {"processes": 2, "threads": 2}
    folder.spec.write_text(json.dumps(job))
    return folder


def _policy(folder: JobDir) -> Policy:
    return Policy(job_dir=folder.root, processes=2, threads=2, memory_bytes=8 << 30)


def test_the_engine_trains_in_two_processes(engine: WarmServer, tmp_path: Path) -> None:
    folder = _job(tmp_path / "job", epochs=1)
    end = engine.start(_policy(folder)).wait(300)
    assert end is not None and end.code == 0, (folder.root / "child.log").read_text()[-2000:]
    report = Report.model_validate_json(folder.report_json.read_text())
    assert "by 2 processes" in report.steps[0].notes[0]


@pytest.mark.parametrize("how", ["kill", "lose"])
def test_they_all_end_when_one_is_lost_and_when_the_job_is_stopped(
    how: str, engine: WarmServer, tmp_path: Path
) -> None:
    folder = _job(tmp_path / "job", epochs=1000)
    child = engine.start(_policy(folder))
    eventually(lambda: child.wait(0.1) or (folder.events.exists() and "epoch 2 of" in folder.events.read_text()))
    assert child.pid is not None
    family = descendants(child.pid)
    assert len(family) >= 3 + ("pid_namespace" in sandbox.probe()), "the one that leads, and two that train"
    if how == "kill":
        child.kill()
    else:
        os.kill(next(pid for pid in family if not children(pid)), signal.SIGKILL)
        end = eventually(lambda: child.wait(0.1))
        assert end.signal == signal.SIGKILL, "so that the job is tried again"
    eventually(lambda: all(is_gone(pid) for pid in family))


def test_without_a_network_of_their_own_a_worker_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    found = tuple(layer for layer in sandbox.LAYERS if layer != "network_namespace")
    monkeypatch.setattr(sandbox, "probe", lambda: found)
    application.announce_sandbox(WorkerSettings(sandbox="auto"))
    application.announce_sandbox(WorkerSettings(sandbox="off", job_processes=2))
    with pytest.raises(PithError, match=r"PITH_JOB_PROCESSES is 2, which is refused: .*; set 1, or PITH_SANDBOX=off"):
        application.announce_sandbox(WorkerSettings(sandbox="auto", job_processes=2))
