"""The pages, with a project that has much in it: time at the server, and bytes that a first visit loads."""

import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from bench.service import running
from store.checks import Learnt, NewPart
from store.database import Database
from store.inputs import Upload
from store.jobs import Jobs
from store.settings import Settings

MODELS, JOBS, LAYERS, VISITS = 200, 200, 200, 30
NEW = "/jobs/new?preset=smallest"
RECIPE = [{"kind": "quantize.dynamic"}]


def measure() -> Iterator[dict[str, float | str]]:
    """Of each page: median and worst milliseconds to its last byte, and kB with all that it loads, as sent."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), "app.serve") as (url, _),
        httpx.Client(base_url=url, trust_env=False, headers={"Accept": "text/html"}) as http,
    ):
        model, dataset = _filled(http)
        _learnt(Path(folder) / "data", http.get(f"/v1/models/{model}").json()["check"])
        for path in (
            "/",
            "/models",
            f"/models/{model}",
            "/datasets",
            f"/datasets/{dataset}",
            "/jobs",
            NEW,
            "/keys",
            "/webhooks",
        ):
            yield _measured(http, path)


def _filled(http: httpx.Client) -> tuple[str, str]:
    for number in range(MODELS):
        model = http.put(f"/v1/models?name={number}.pt2", content=str(number).encode()).json()["id"]
        dataset = http.put(f"/v1/datasets?name={number}.npz", content=str(number).encode()).json()["id"]
    for _ in range(JOBS):
        http.post("/v1/jobs", json={"model": model, "recipe": RECIPE})
    return str(model), str(dataset)


def _learnt(data: Path, check: str) -> None:
    """What a worker does: the model has as many layers as a large network."""
    settings = Settings.model_validate({"data_dir": data})
    db = Database(settings.database_url)
    jobs = Jobs(db)
    claim = jobs.claim(check, "bench", lease_seconds=600)
    assert claim is not None and isinstance(claim.inputs, Upload) and claim.inputs.digest is not None
    tensor = {"name": "x", "shape": [None, 3, 224, 224], "dtype": "float32"}
    facts = {"format": "pt2", "trainable": True, "inputs": [tensor], "outputs": [tensor], "dtype": "float32"}
    layers = [
        {
            "name": f"stage{n // 20}.block{n // 2}.conv{n}",
            "kind": "Conv2d",
            "shape": [n, 64, 3, 3],
            "parameters": n,
            "macs": n,
        }
        for n in range(1, LAYERS + 1)
    ]
    parts = (NewPart("model.pt2", claim.inputs.digest, 1),)
    assert jobs.learn(check, claim.attempt, Learnt({**facts, "parameters": 10**7}, {"layers": layers}, parts))
    db.close()


def _measured(http: httpx.Client, path: str) -> dict[str, float | str]:
    times = []
    for _ in range(VISITS):
        began = time.perf_counter()
        page = http.get(path)
        times.append(1e3 * (time.perf_counter() - began))
    assert page.status_code == 200, page.text
    loaded = {path: _sent(http, path)}
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
        loaded[address] = _sent(http, address)
    # What a script imports.
    base = next(address for address in loaded if address.endswith("/pith.js")).removesuffix("pith.js")
    for address in [address for address in loaded if address.endswith(".js") and "vendor" not in address]:
        for name in re.findall(r'from "\./([\w.-]+)"', http.get(address).text):
            loaded[base + name] = _sent(http, base + name)
    return {
        "path": re.sub(r"_\w+", "_…", path),
        "median": statistics.median(times),
        "worst": max(times),
        "kilobytes": sum(loaded.values()) / 1e3,
    }


def _sent(http: httpx.Client, address: str) -> int:
    with http.stream("GET", address) as answer:
        return sum(len(piece) for piece in answer.iter_raw())
