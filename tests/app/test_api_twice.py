"""Requests that are sent twice under one Idempotency-Key make one thing."""

import os
import secrets
import threading

import httpx
import pytest

from tests.app.api_process import ApiProcess


@pytest.fixture
def key() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_hex(8)}


def test_a_job_is_queued_once(http: httpx.Client, model: str, key: dict[str, str]) -> None:
    spec = {"model": model, "recipe": [{"kind": "quantize.dynamic"}]}
    first = http.post("/v1/jobs", json=spec, headers=key)
    http.post(f"{first.headers['location']}/cancel")
    again = http.post("/v1/jobs", json=spec, headers=key)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert again.json()["status"] == "cancelled", "it is shown as it is now"
    assert http.post("/v1/jobs", json=spec).json()["id"] != first.json()["id"]


def test_a_job_is_found_again_when_its_model_is_gone(http: httpx.Client, model: str, key: dict[str, str]) -> None:
    spec = {"model": model, "recipe": [{"kind": "quantize.dynamic"}]}
    first = http.post("/v1/jobs", json=spec, headers=key).json()
    http.post(f"/v1/jobs/{first['id']}/cancel")
    assert http.delete(f"/v1/models/{model}").status_code == 204
    assert http.post("/v1/jobs", json=spec, headers=key).json()["id"] == first["id"]


def test_another_request_under_the_same_key_is_refused(http: httpx.Client, model: str, key: dict[str, str]) -> None:
    spec = {"model": model, "recipe": [{"kind": "quantize.dynamic"}]}
    first = http.post("/v1/jobs", json=spec, headers=key).json()
    for refused in (
        http.post("/v1/jobs", json={**spec, "seed": 1}, headers=key),
        http.post("/v1/uploads", headers={**key, "Upload-Length": "5"}),
        http.post("/v1/models", files={"file": b"abc"}, headers=key),
    ):
        assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_key_reused")
        assert first["id"] in refused.json()["detail"]


def test_many_at_once_make_one_job(api: ApiProcess, model: str, key: dict[str, str]) -> None:
    spec, made = {"model": model, "recipe": [{"kind": "quantize.dynamic"}]}, []

    def send() -> None:
        made.append(httpx.post(f"{api.url}/v1/jobs", json=spec, headers=key, timeout=30).json()["id"])

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8 and len(set(made)) == 1


def test_a_form_a_fresh_model_and_an_upload_are_made_once(http: httpx.Client) -> None:
    content = os.urandom(100)
    ways = (
        lambda key: http.post("/v1/models", files={"file": ("a", content)}, headers=key),
        lambda key: http.post("/v1/models", json={"name": "pith/resnet20"}, headers=key),
        lambda key: http.post("/v1/uploads", headers={**key, "Upload-Length": "5"}),
    )
    for send in ways:
        key = {"Idempotency-Key": secrets.token_hex(8)}
        first, again = send(key), send(key)
        assert first.status_code == again.status_code == 201 and first.json()["id"] == again.json()["id"]


@pytest.mark.parametrize("bad", ["", "a" * 256])
def test_a_key_that_is_none_is_refused(http: httpx.Client, model: str, bad: str) -> None:
    spec = {"model": model, "recipe": [{"kind": "quantize.dynamic"}]}
    assert http.post("/v1/jobs", json=spec, headers={"Idempotency-Key": bad}).status_code == 422
