"""Who is there, and what a caller is told whose job nobody there would take up."""

import httpx

from pith.client import Pith
from store.workers import Workers
from tests.app.by_hand import Bench

RECIPE = [{"kind": "quantize.dynamic"}]


def test_workers_and_what_a_job_waits_for(http: httpx.Client, client: Pith, bench: Bench, model: str) -> None:
    spec = {"model": model, "recipe": RECIPE, "device": "gpu"}
    queued = http.post("/v1/jobs", json=spec).json()
    assert "No worker with a GPU has been seen" in queued["waits_for"]
    plan = http.post("/v1/jobs", params={"dry_run": "true"}, json=spec).json()
    assert queued["waits_for"] in plan["notes"]
    Workers(bench.db).seen("w-1", "a-host", "gpu", ("jobs",))
    assert http.get(f"/v1/jobs/{queued['id']}").json()["waits_for"] is None
    (worker,) = http.get("/v1/workers").json()
    assert (worker["name"], worker["device"], worker["queues"]) == ("w-1", "gpu", ["jobs"])
    assert [each.name for each in client.workers()] == ["w-1"]
    Workers(bench.db).left("w-1")
    assert http.get("/v1/workers").json() == []
    http.post(f"/v1/jobs/{queued['id']}/cancel")


def test_another_device_is_malformed(http: httpx.Client, model: str) -> None:
    refused = http.post("/v1/jobs", json={"model": model, "recipe": RECIPE, "device": "tpu"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/device")
