"""Processes killed in mid-job, with the real engine: the final status tells the truth."""

import os
import signal
import sys

import pytest

from pith.client import Pith
from pith.job import Job
from tests.app.embedded import Up
from tests.e2e.conftest import Submit
from tests.processes import children, command_of, descendants, environment_of, is_gone
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# Long enough to be caught in the act on a fast machine, stopped by the test on a slow one.
LONG = {"kind": "finetune.full", "epochs": 400, "batch_size": 8}
# Over within seconds, but not before the test has seen it train.
SHORT = {"kind": "finetune.full", "epochs": 30, "batch_size": 8}


def training(pith: Pith, job: Job) -> Job:
    """The job, once it trains."""
    for event in pith.jobs.events(job.id):
        if event.type == "metric":
            return job
    raise AssertionError(f"it ended before it trained: {pith.jobs.get(job.id).error}")


def worker_of(service: Up, queue: str = "jobs") -> int:
    """The worker for jobs, or the one for the checks of uploads."""

    def found() -> int | None:
        workers = [pid for pid in children(service.process.pid) if "-m worker" in command_of(pid)]
        return next((pid for pid in workers if f"PITH_WORKER_QUEUES={queue}" in environment_of(pid)), None)

    return eventually(found)


def engine_of(service: Up) -> int:
    """The process that computes: the last below the fork server but for its own child, which waits to reload."""
    return descendants(worker_of(service))[-2]


def test_the_child_is_killed_and_the_job_is_tried_again(service: Up, pith: Pith, submit: Submit) -> None:
    job = training(pith, submit(SHORT, outputs=["onnx"]))
    os.kill(engine_of(service), signal.SIGKILL)
    ended = pith.jobs.wait(job.id)
    assert (ended.status, ended.attempt) == ("succeeded", 2)
    [again] = [event.message for event in pith.jobs.events(job.id) if event.type == "requeued"]
    assert "signal 9" in again and "epoch" in again, "it says where it was"


def test_a_paused_job_goes_on_to_the_result_of_an_undisturbed_one(service: Up, pith: Pith, submit: Submit) -> None:
    whole = submit(SHORT, outputs=["safetensors"])
    job = training(pith, submit(SHORT, outputs=["safetensors"]))
    pith.jobs.pause(job.id)
    eventually(lambda: pith.jobs.get(job.id).status == "paused")
    assert pith.jobs.get(job.id).checkpoint_at is not None
    pith.jobs.resume(job.id)
    digests = {
        id: {artifact.digest for artifact in pith.jobs.wait(id).artifacts if artifact.kind == "model"}
        for id in (whole.id, job.id)
    }
    assert len(digests[job.id]) == 1 and digests[job.id] == digests[whole.id]
    assert pith.jobs.get(job.id).attempt == 2


def test_the_whole_worker_is_killed_and_another_takes_the_job(service: Up, pith: Pith, submit: Submit) -> None:
    job = training(pith, submit(SHORT, outputs=["onnx"]))
    worker = worker_of(service)
    family = descendants(worker)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: all(is_gone(pid) for pid in family))
    ended = pith.jobs.wait(job.id)
    assert ended.status == "succeeded" and ended.attempt == 2
    told = [event.type for event in pith.jobs.events(job.id)]
    assert told.count("requeued") == 1 and told.count("succeeded") == 1


def test_redis_is_killed_in_mid_job(service: Up, pith: Pith, submit: Submit) -> None:
    job = training(pith, submit(SHORT, outputs=["onnx"]))
    redis = eventually(lambda: service.child("redis-server"))
    os.kill(redis, signal.SIGKILL)
    waiting = submit({"kind": "quantize.dynamic"}, outputs=["onnx"])
    assert pith.jobs.wait(job.id).status == "succeeded" and pith.jobs.get(job.id).attempt == 1
    assert pith.jobs.wait(waiting.id).status == "succeeded", "what was submitted without Redis is sent when it is back"
    assert eventually(lambda: service.child("redis-server")) != redis


def test_cancel_in_mid_training(service: Up, pith: Pith, submit: Submit) -> None:
    job = training(pith, submit(LONG))
    engine = engine_of(service)
    assert "worker.warm" in command_of(engine)
    assert pith.jobs.cancel(job.id).status in ("cancelling", "cancelled")
    ended = pith.jobs.wait(job.id)
    assert ended.status == "cancelled" and ended.artifacts == () and is_gone(engine)
    asked, done = (
        next(event.at for event in pith.jobs.events(job.id) if event.type == name)
        for name in ("cancelling", "cancelled")
    )
    assert (done - asked).total_seconds() < 20, "two seconds on an idle machine"
