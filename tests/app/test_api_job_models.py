"""A job's result becomes a model of its own, over HTTP: the same bytes, checked as an upload is."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from pith.client import Pith
from pith.errors import PithError
from tests.app.api_process import ApiProcess
from tests.app.by_hand import Bench

RESULT = b"a result"


@pytest.fixture
def job(http: httpx.Client, bench: Bench) -> str:
    """One that has made something, of a model called net.pt2."""
    model = http.put("/v1/models", params={"name": "net.pt2"}, content=os.urandom(64)).json()["id"]
    id = str(http.post("/v1/jobs", json={"model": model, "recipe": [{"kind": "quantize.dynamic"}]}).json()["id"])
    made = {"model_pt2": RESULT, "model_onnx": b"onnx", "model_pith": b"packed", "report_json": b"{}"}
    bench.succeed(id, bench.start(id), **made)
    return id


def taken(http: httpx.Client, job: str, key: str | None = None, **said: Any) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return http.post("/v1/models", json={"job": job, **said}, headers=headers)


def test_it_has_the_same_bytes_and_says_where_they_are_from(http: httpx.Client, bench: Bench, job: str) -> None:
    answer = taken(http, job)
    made = answer.json()
    assert answer.status_code == 201 and answer.headers["Location"] == f"/v1/models/{made['id']}"
    assert (made["status"], made["size_bytes"]) == ("checking", len(RESULT))
    assert made["digest"] == f"sha256:{hashlib.sha256(RESULT).hexdigest()}"
    assert made["name"] == f"net-{job[-6:]}.pt2"
    assert made["source"] == {"uri": f"/v1/jobs/{job}/artifacts/model.pt2", "revision": made["digest"]}
    assert http.get(made["source"]["uri"]).content == RESULT
    bench.learn_all()
    assert http.get(f"/v1/models/{made['id']}").json()["status"] == "ready"


def test_another_artifact_name_and_tags(http: httpx.Client, job: str) -> None:
    answer = http.post("/v1/models", json={"job": job, "artifact": "model.onnx", "name": "mine"}, params={"tag": "a"})
    assert (answer.json()["name"], answer.json()["size_bytes"], answer.json()["tags"]) == ("mine", 4, ["a"])


def test_it_stays_when_the_job_is_deleted(http: httpx.Client, bench: Bench, job: str) -> None:
    made = taken(http, job, name="kept").json()
    assert http.delete(f"/v1/jobs/{job}").status_code == 204
    assert b"".join(bench.blobs.read(made["digest"])) == RESULT
    assert http.get(f"/v1/models/{made['id']}").json()["source"] == made["source"]
    page = http.get(f"/models/{made['id']}", headers={"Accept": "text/html"})
    assert "a job that is deleted" in page.text
    assert taken(http, job).status_code == 410


def test_the_same_request_twice_makes_one(http: httpx.Client, api: ApiProcess, job: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: taken(http, job, "once"), range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert taken(http, job, "once", artifact="model.onnx").json()["code"] == "idempotency_key_reused"
    http.delete(f"/v1/jobs/{job}")
    assert taken(http, job, "once").json()["id"] == answers[0].json()["id"], "though the job is gone"
    with Pith(api.url) as pith:
        pith.models.delete(answers[0].json()["id"])
    assert taken(http, job, "once").json()["code"] == "gone"


def test_two_requests_at_once_make_two_of_the_same_bytes(http: httpx.Client, bench: Bench, job: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: taken(http, job).json(), range(4)))
    assert len({each["id"] for each in made}) == 4 and len({each["digest"] for each in made}) == 1
    bench.learn_all()
    for each in made[:3]:
        http.delete(f"/v1/models/{each['id']}")
    http.delete(f"/v1/jobs/{job}")
    assert bench.blobs.size(made[3]["digest"]) == len(RESULT)


@pytest.mark.parametrize("artifact", ["report.json", "model.pith", "model.safetensors"])
def test_what_is_no_model_is_refused_with_what_is_one(http: httpx.Client, job: str, artifact: str) -> None:
    answer = taken(http, job, artifact=artifact)
    assert (answer.status_code, answer.json()["code"]) == (409, "result_not_model")
    assert artifact in answer.json()["detail"] and "name one of model.onnx, model.pt2" in answer.json()["detail"]


def test_a_job_that_has_made_nothing_is_refused(http: httpx.Client, model: str) -> None:
    spec = {"model": model, "recipe": [{"kind": "quantize.dynamic"}]}
    queued = http.post("/v1/jobs", json=spec).json()["id"]
    assert "queued and has no model.pt2 or model.onnx" in taken(http, queued).json()["detail"]
    assert "wait until it has succeeded" in taken(http, queued).json()["detail"]
    http.post(f"/v1/jobs/{queued}/cancel")
    assert "name a job that has succeeded" in taken(http, queued).json()["detail"]
    assert taken(http, f"job_{'0' * 26}").status_code == 404


@pytest.mark.parametrize(
    "said", [{"job": "x"}, {"job": None}, {"artifact": "a/b"}, {"name": ""}, {"what": 1}, {"architecture": {"name": 3}}]
)
def test_a_malformed_request_is_told_at_its_place(http: httpx.Client, job: str, said: dict[str, Any]) -> None:
    answer = http.post("/v1/models", json={"job": job, **said})
    assert answer.status_code == 422 and next(iter(said)) in answer.text
    assert http.post("/v1/datasets", json={"job": job}).status_code == 422


def test_by_the_client(client: Pith, bench: Bench, job: str) -> None:
    made = client.take(job, "model.onnx", name="by hand", key="a key", tags=["x"])
    assert (made.name, made.tags) == ("by hand", ("x",))
    assert client.take(job, "model.onnx", name="by hand", key="a key", tags=["x"]).id == made.id
    bench.learn_all()
    assert client.models.ready(made.id).digest == made.digest
    with pytest.raises(PithError, match="result_not_model"):
        client.take(job, "report.json")
