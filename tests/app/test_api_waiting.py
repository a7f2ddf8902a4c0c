"""Who waits: for the end of a job, behind how many others, and how much longer."""

import threading
import time

import httpx
import pytest

from pith.job import Progress
from tests.app.by_hand import Bench

RECIPE = [{"kind": "quantize.dynamic"}]


@pytest.mark.parametrize("way", ["wait", "prefer"])
def test_the_answer_comes_when_the_job_has_ended(http: httpx.Client, bench: Bench, model: str, way: str) -> None:
    def soon() -> None:
        job = next(one for one in http.get("/v1/jobs", params={"naming": model}).json()["data"])
        time.sleep(0.3)
        http.post(f"/v1/jobs/{job['id']}/cancel")

    spec, prefer = {"model": model, "recipe": RECIPE}, {"Prefer": "respond-async, wait=20"}
    started = time.monotonic()
    if way == "wait":
        job = http.post("/v1/jobs", json=spec).json()
        threading.Thread(target=soon).start()
        ended = http.get(f"/v1/jobs/{job['id']}", params={"wait": 20})
    else:
        threading.Timer(0.5, soon).start()
        ended = http.post("/v1/jobs", json=spec, headers=prefer)
        assert ended.headers["preference-applied"] == "wait=20"
    assert ended.json()["status"] == "cancelled" and 0.2 < time.monotonic() - started < 15


def test_who_waits_in_vain_hears_how_it_stands(http: httpx.Client, job: str) -> None:
    assert http.get(f"/v1/jobs/{job}", params={"wait": 0.3}).json()["status"] == "queued"
    assert http.get(f"/v1/jobs/{job}", params={"wait": 61}).status_code == 422


def test_a_queued_job_knows_its_place(http: httpx.Client, model: str) -> None:
    def submit(priority: str) -> str:
        spec = {"model": model, "recipe": RECIPE, "priority": priority}
        return str(http.post("/v1/jobs", json=spec).json()["id"])

    low, first, second, high = (submit(priority) for priority in ("low", "normal", "normal", "high"))
    place = {id: http.get(f"/v1/jobs/{id}").json()["jobs_before"] for id in (low, first, second, high)}
    assert place[high] < place[first] < place[second] < place[low]
    assert place[second] - place[first] == 1
    listed = http.get("/v1/jobs", params={"naming": model}).json()["data"]
    assert [one["id"] for one in listed] == [high, second, first, low]
    assert http.get("/v1/jobs", params={"naming": "nobody"}).status_code == 422
    for id in place:
        http.post(f"/v1/jobs/{id}/cancel")


def test_a_running_job_says_how_long_it_may_take(http: httpx.Client, bench: Bench, job: str) -> None:
    attempt = bench.start(job)
    assert http.get(f"/v1/jobs/{job}").json()["remaining_seconds"] is None
    time.sleep(0.5)
    bench.jobs.record(job, attempt, [], Progress(fraction=0.5, message="half"))
    remaining = http.get(f"/v1/jobs/{job}").json()["remaining_seconds"]
    assert 0.3 < remaining < 20, "half of it took as long"
    http.post(f"/v1/jobs/{job}/cancel")
