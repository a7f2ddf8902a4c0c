"""Workers and a scheduler as real processes, over one data folder and one Redis."""

import os
import subprocess
import sys
from pathlib import Path

from pith.job import Job
from store.dispatch import dispatch
from store.jobs import Jobs
from store.queue import Queue
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]

WAIT_FOR_GO = """
import time
events.emit("warning", "asleep")
while not (folder.root / "go").exists(): time.sleep(0.05)
events.emit("warning", "awake")
succeed()
"""


class Service:
    """Every process gets the same environment; ``log`` is what all of them printed."""

    def __init__(self, jobs: Jobs, environment: dict[str, str], log: Path) -> None:
        self.jobs = jobs
        self.log = log
        self._environment = environment
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, module: str) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, **self._environment}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        self._processes.append(process)
        return process

    def set(self, name: str, value: str) -> None:
        """For the processes that are started from now on."""
        self._environment[name] = value

    def worker(self) -> "subprocess.Popen[bytes]":
        """Starts one that takes scripts; does not wait until it is ready."""
        return self.start("tests.worker.launch")

    def scheduler(self) -> "subprocess.Popen[bytes]":
        return self.start("store.scheduler")

    def send(self, id: str) -> None:
        dispatch(self.jobs, Queue(self._environment["PITH_REDIS_URL"]), id)

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def until_said(service: Service, job: Job, message: str) -> None:
    eventually(lambda: any(event.message == message for event in service.jobs.events(job.id)))


def until(service: Service, job: Job, status: str) -> Job:
    def reached() -> Job | None:
        found = service.jobs.get(job.id)
        return found if found.status == status else None

    return eventually(reached)
