"""(i) A hundred clients that ask how their job does, once a second, while a hundred others follow jobs live; (j) the
memory of the API over a hundred thousand requests.

Peer of (i): the same hundred clients on a FastAPI route that does nothing, in a server of the same kind.
"""

import asyncio
import gc
import http.client
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from bench.service import resident, running
from tests.app.api_process import free_port
from tests.app.by_hand import Bench

POLLING, FOLLOWING, PACE = 100, 100, 1.0
SECONDS = 30.0
BARE = """
import uvicorn
from fastapi import FastAPI
app = FastAPI()
@app.get("/readyz")
@app.get("/v1/jobs/{{id}}")
async def show(id: str = "") -> dict[str, str]:
    return {{"id": id}}
uvicorn.run(app, port={port}, log_level="error")
"""
PATHS = ("/v1/jobs/{job}", "/v1/jobs?limit=5", "/v1/jobs/{job}/events", "/v1/jobs/job_nobody", "/v1/jobs?limit=no")


def measure() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(folder, "app.serve") as (url, _):
            bench = Bench(folder / "data")
            jobs = [_running_job(url, bench) for _ in range(FOLLOWING)]
            with _events(bench, jobs):
                ours, seen = asyncio.run(_crowd(url, [id for id, _ in jobs], FOLLOWING))
            bench.db.close()
        with _bare() as url:
            bare, _ = asyncio.run(_crowd(url, [id for id, _ in jobs], 0))
    return {
        "p50": statistics.median(ours),
        "p99": _p99(ours),
        "bare_p50": statistics.median(bare),
        "bare_p99": _p99(bare),
        "requests": float(len(ours)),
        "events": float(seen),
    }


def memory(requests: int = 100_000, clients: int = 4) -> dict[str, float]:
    """MiB after a tenth, half and all of so many requests, a fifth of them refused."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(folder, "app.serve") as (url, pid):
            bench = Bench(folder / "data")
            job, _ = _running_job(url, bench)
            found = {"start": resident(pid)}
            began, asked = time.perf_counter(), 0
            for part in (10, 50, 100):
                share = requests * part // 100 - asked
                with ThreadPoolExecutor(clients) as pool:
                    list(pool.map(lambda _, each=share // clients: _ask(url, job, each), range(clients)))
                asked += share
                found[str(part)] = resident(pid)
            found["rate"] = asked / (time.perf_counter() - began)
            bench.db.close()
    return found


def _running_job(url: str, bench: Bench) -> tuple[str, int]:
    model = httpx.put(f"{url}/v1/models", content=random.randbytes(64)).json()["id"]
    spec = {"model": model, "recipe": [{"kind": "quantize.dynamic"}]}
    job = str(httpx.post(f"{url}/v1/jobs", json=spec).json()["id"])
    return job, bench.start(job)


@contextmanager
def _events(bench: Bench, jobs: list[tuple[str, int]]) -> Iterator[None]:
    """Each job says something every other second."""
    over = threading.Event()

    def tell() -> None:
        while True:
            for job, attempt in jobs:
                if over.wait(2 / len(jobs)):
                    return
                bench.tell(job, attempt, "it goes on")

    thread = threading.Thread(target=tell)
    thread.start()
    yield
    over.set()
    thread.join()


async def _crowd(url: str, jobs: list[str], following: int) -> tuple[list[float], int]:
    """The seconds of each poll, and how many events came."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
        seen: list[str] = []
        streams = [asyncio.create_task(_follow(http, job, seen)) for job in jobs[:following]]
        await asyncio.sleep(2)
        gc.collect()
        gc.freeze()  # a pause of ours would be counted as the service's
        until = time.perf_counter() + SECONDS
        took = await asyncio.gather(*(_poll(http, jobs[number], until) for number in range(POLLING)))
        assert not any(stream.done() for stream in streams), "a stream broke"
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
    return [seconds for one in took for seconds in one], len(seen)


async def _poll(http: httpx.AsyncClient, job: str, until: float) -> list[float]:
    took = []
    await asyncio.sleep(random.uniform(0, PACE))
    while time.perf_counter() < until:
        began = time.perf_counter()
        (await http.get(f"/v1/jobs/{job}")).raise_for_status()
        took.append(time.perf_counter() - began)
        await asyncio.sleep(max(0.0, PACE - took[-1]))
    return took


async def _follow(http: httpx.AsyncClient, job: str, seen: list[str]) -> None:
    async with http.stream("GET", f"/v1/jobs/{job}/events", headers={"Accept": "text/event-stream"}) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("id:"):
                seen.append(line)


@contextmanager
def _bare() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", BARE.format(port=port)])
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                httpx.get(f"{url}/readyz")
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def _ask(url: str, job: str, times: int) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    for number in range(times):
        connection.request("GET", PATHS[number % len(PATHS)].format(job=job))
        connection.getresponse().read()
    connection.close()


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]
