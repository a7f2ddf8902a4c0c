"""(h) A thousand jobs queued at once by several clients: all done, each once; and what it costs to hand out a job.

The jobs run the tests' script instead of the engine, each in a real process in the real sandbox. Peer: a task that does
nothing, through Celery with the same settings on the same Redis, there and back.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import redis
from celery import Celery

from bench.service import running
from pith.client import Pith
from pith.job import Job, JobSpec
from store.queue import celery_settings
from tests.app.api_process import environment
from tests.store.redis_process import RedisProcess

CLIENTS, ALONE = 8, 50
SCRIPT = b"learn() if folder.intake.exists() else succeed()"
PEER, ANSWERS, PASSWORD = "bench.peer", "answers", "secret"
PEER_WORKER = "from bench.rush import peer; peer({url!r}).worker_main({flags!r})"
FLAGS = ["--quiet", "worker", "--pool=threads", "--concurrency=1", "--without-gossip", "--without-mingle", "-Qpeer"]


def measure(jobs: int = 1000) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = RedisProcess(folder / "redis")
        server.start()
        try:
            peer_alone, peer_loaded = _peer(server, jobs)
            settings = {"PITH_REDIS_URL": server.url, "PITH_THREADS": 1, "PITH_JOB_MEMORY_BYTES": 1 << 30}
            with running(folder, "app.serve", **settings) as (url, _), _workers(folder, settings), Pith(url) as pith:
                return {**_ours(pith, url, jobs), "peer_alone": peer_alone, "peer_loaded": peer_loaded}
        finally:
            server.kill()


def _ours(pith: Pith, url: str, jobs: int) -> dict[str, float]:
    spec = JobSpec.model_validate(
        {"model": _uploaded(pith), "recipe": [{"kind": "quantize.dynamic"}], "outputs": ["onnx"]}
    )
    alone = [_alone(pith, spec) for _ in range(ALONE)]
    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        asked = list(pool.map(lambda _: _submitted(url, spec), range(jobs)))
    submitted = time.perf_counter() - began
    ended = sorted((_ended(pith, id) for id in asked), key=lambda job: job.started_at or job.created_at)
    whole = time.perf_counter() - began
    assert len(set(asked)) == jobs
    assert {(job.status, job.attempt) for job in ended} == {("succeeded", 1)}, "each once, and none lost"
    for job in ended:
        assert Counter(event.type for event in pith.jobs.events(job.id))["started"] == 1
    gaps = [_seconds(after.started_at, job.finished_at) for job, after in pairwise(ended)]
    return {
        "alone": statistics.median(alone),
        "worst": max(alone),
        "submitted": submitted,
        "whole": whole,
        "gap": statistics.median(gaps),
    }


def _uploaded(pith: Pith) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.pt2"
        file.write_bytes(SCRIPT)
        return pith.models.ready(pith.models.upload(file).id).id


def _alone(pith: Pith, spec: JobSpec) -> float:
    """From the answer of the API to the claim of a worker that has nothing else to do; both by this machine's clock."""
    time.sleep(0.05)
    id = pith.jobs.submit(spec).id
    answered = time.time()
    job = _ended(pith, id)
    assert job.started_at is not None
    return job.started_at.timestamp() - answered


def _submitted(url: str, spec: JobSpec) -> str:
    with Pith(url) as pith:
        return pith.jobs.submit(spec).id


def _ended(pith: Pith, id: str) -> Job:
    job = pith.jobs.wait(id)
    assert job.status == "succeeded", job.error
    return job


def _seconds(after: object, before: object) -> float:
    return float((after - before).total_seconds())  # type: ignore[operator]


@contextmanager
def _workers(folder: Path, settings: dict[str, object]) -> Iterator[None]:
    """One worker, so that its pauses between jobs can be told, and a scheduler."""
    modules = ("tests.worker.launch", "store.scheduler")
    settings = {**settings, "PYTHONPATH": Path(__file__).parents[1]}  # the fork server looks into no working folder
    with (folder / "workers.log").open("w") as log:
        started = [
            subprocess.Popen(
                [sys.executable, "-m", module], env=environment(folder / "data", **settings), stdout=log, stderr=log
            )
            for module in modules
        ]
        try:
            yield
        finally:
            for process in started:
                process.terminate()
                process.wait()


def peer(url: str) -> Celery:
    """What it does is to answer, through Redis as well."""
    app = Celery("peer", set_as_current=False)
    app.conf.update(celery_settings(url) | {"task_default_queue": "peer"})
    client = _client(url)

    def answer() -> None:
        client.rpush(ANSWERS, b"")

    app.task(answer, name=PEER)
    return app


def _client(url: str) -> redis.Redis:
    return redis.Redis(unix_socket_path=url.partition("@")[2], password=PASSWORD, socket_timeout=120)


def _peer(server: RedisProcess, tasks: int) -> tuple[float, float]:
    """Seconds of a task there and back, alone; and of each of many that are sent at once."""
    worker = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PEER_WORKER.format(url=server.url, flags=FLAGS)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        app, client = peer(server.url), _client(server.url)
        _there_and_back(app, client, 1)
        alone = statistics.median(_there_and_back(app, client, 1) for _ in range(ALONE))
        return alone, _there_and_back(app, client, tasks) / tasks
    finally:
        worker.terminate()
        worker.wait()


def _there_and_back(app: Celery, client: redis.Redis, tasks: int) -> float:
    began = time.perf_counter()
    for _ in range(tasks):
        app.send_task(PEER)
    for _ in range(tasks):
        assert client.blpop([ANSWERS], timeout=60), "no answer"
    return time.perf_counter() - began
