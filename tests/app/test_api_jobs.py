"""Jobs over HTTP: submitted, listed, shown, cancelled, and what keeps a model from being deleted."""

import httpx
import pytest

from pith.errors import PithError
from pith.job import Job
from tests.app.by_hand import Bench


def test_a_job_is_stored_before_the_answer(http: httpx.Client, bench: Bench, model: str) -> None:
    spec = {"model": model, "recipe": [{"kind": "quantize.dynamic"}], "seed": 7}
    made = http.post("/v1/jobs", json=spec)
    assert made.status_code == 202
    job = Job.model_validate_json(made.content)
    assert made.headers["location"] == f"/v1/jobs/{job.id}"
    assert (job.status, job.spec.seed, job.spec.model) == ("queued", 7, model)
    assert bench.jobs.get(job.id) == job == Job.model_validate_json(http.get(f"/v1/jobs/{job.id}").content)


def test_a_list_goes_on_from_its_cursor(http: httpx.Client, model: str) -> None:
    spec = {"model": model, "recipe": [{"kind": "quantize.dynamic"}]}
    made = [http.post("/v1/jobs", json=spec).json()["id"] for _ in range(3)]
    first = http.get("/v1/jobs", params={"limit": 2}).json()
    assert [job["id"] for job in first["data"]] == made[:0:-1]
    second = http.get("/v1/jobs", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert second["data"][0]["id"] == made[0]


def test_a_list_of_one_status(http: httpx.Client, bench: Bench, job: str) -> None:
    bench.start(job)
    assert job in [one["id"] for one in http.get("/v1/jobs", params={"status": "running"}).json()["data"]]
    assert job not in [one["id"] for one in http.get("/v1/jobs", params={"status": "queued"}).json()["data"]]


def test_a_queued_job_is_cancelled_at_once_and_twice_is_no_harm(http: httpx.Client, job: str) -> None:
    for _ in range(2):
        cancelled = http.post(f"/v1/jobs/{job}/cancel")
        assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")


def test_a_running_job_is_asked_to_stop(http: httpx.Client, bench: Bench, job: str) -> None:
    attempt = bench.start(job)
    assert http.post(f"/v1/jobs/{job}/cancel").json()["status"] == "cancelling"
    assert bench.jobs.cancelled(job, attempt)
    assert http.get(f"/v1/jobs/{job}").json()["status"] == "cancelled"


def test_a_job_that_has_ended_cannot_be_cancelled(http: httpx.Client, bench: Bench, job: str) -> None:
    bench.succeed(job, bench.start(job))
    refused = http.post(f"/v1/jobs/{job}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_ended")


def test_a_failed_job_says_why(http: httpx.Client, bench: Bench, job: str) -> None:
    problem = PithError("engine_timeout", limit=5, setting="PITH_JOB_TIME_SECONDS").problem
    assert bench.jobs.fail(job, bench.start(job), problem)
    assert http.get(f"/v1/jobs/{job}").json()["error"]["code"] == "engine_timeout"


def test_a_model_in_use_is_not_deleted(http: httpx.Client, model: str, job: str) -> None:
    refused = http.delete(f"/v1/models/{model}")
    assert (refused.status_code, refused.json()["code"]) == (409, "in_use")
    assert job in refused.json()["detail"]
    http.post(f"/v1/jobs/{job}/cancel")
    assert http.delete(f"/v1/models/{model}").status_code == 204


def test_techniques_carry_their_schemas(http: httpx.Client) -> None:
    kinds = {one["kind"]: one for one in http.get("/v1/techniques").json()}
    assert kinds["prune.channel"]["options"]["properties"]["pruning_ratio"]["exclusiveMaximum"] == 1


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code == 200
    assert answer.json()["status"] in {"ok", "degraded"}


def test_without_a_queue_the_service_is_degraded_and_says_so(http: httpx.Client) -> None:
    answer = http.get("/readyz").json()
    assert answer["status"] == "degraded"
    checks = answer["checks"]
    assert checks["database"] == checks["storage"] == {"state": "ok", "reason": None}
    assert checks["queue"]["state"] == "degraded" and "PITH_REDIS_URL" in checks["queue"]["reason"]
