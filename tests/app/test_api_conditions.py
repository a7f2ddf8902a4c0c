"""ETags: what has not changed is not sent again, and nobody changes what he has not seen."""

import os

import httpx
import pytest

from tests.app.by_hand import Bench

PATCHED = {"tags": ["a"]}


@pytest.fixture
def ended(http: httpx.Client, bench: Bench, job: str) -> str:
    bench.succeed(job, bench.start(job), report_json=b'{"a": 1}', report_html=b"<p>", model_onnx=b"0123456789")
    return job


@pytest.fixture(params=["artifacts/model.onnx", "artifacts/report.json", "report", "report:text/html"])
def file(request: pytest.FixtureRequest, http: httpx.Client, ended: str) -> tuple[str, dict[str, str]]:
    """The path of stored bytes, and headers that ask for them."""
    path, _, kind = request.param.partition(":")
    return f"/v1/jobs/{ended}/{path}", {"Accept": kind} if kind else {}


def test_stored_bytes_answer_every_condition(http: httpx.Client, file: tuple[str, dict[str, str]]) -> None:
    path, accept = file
    whole = http.get(path, headers=accept)
    etag = whole.headers["etag"]
    assert whole.status_code == 200 and etag.startswith('"sha256:')

    def asked(method: str = "GET", **conditions: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in conditions.items()}
        return http.request(method, path, headers={**accept, **named})

    head = asked("HEAD")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", etag)
    assert head.headers["content-length"] == str(len(whole.content))
    for method in ("GET", "HEAD"):
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            answer = asked(method, If_None_Match=known)
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
        assert asked(method, If_None_Match='"other"').status_code == 200
        assert asked(method, If_Match=etag).status_code == asked(method, If_Match="*").status_code == 200
        for stale in ('"other"', f"W/{etag}"):
            assert asked(method, If_Match=stale).status_code == 412
    assert asked(If_Match='"other"').json()["code"] == "precondition_failed"
    part = asked(Range="bytes=0-0", If_Range=etag)
    assert (part.status_code, part.content) == (206, whole.content[:1])
    for stale in ('"other"', f"W/{etag}", "Sun, 06 Nov 1994 08:49:37 GMT"):
        assert asked(Range="bytes=0-0", If_Range=stale).content == whole.content
    assert asked(Range="bytes=0-0", If_None_Match=etag).status_code == 304
    assert asked(Range="bytes=99-", If_Range=etag).status_code == 416


@pytest.mark.parametrize("noun", ["models", "datasets", "jobs"])
def test_a_poller_is_told_nothing_until_something_changes(
    http: httpx.Client, ended: str, model: str, noun: str
) -> None:
    id = {"jobs": ended, "models": model}.get(noun) or http.put("/v1/datasets", content=os.urandom(9)).json()["id"]
    path = f"/v1/{noun}/{id}"
    shown = http.get(path)
    etag = shown.headers["etag"]
    unchanged = http.get(path, headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
    assert http.patch(path, json=PATCHED).status_code == 200
    changed = http.get(path, headers={"If-None-Match": etag})
    assert changed.status_code == 200 and changed.headers["etag"] != etag and changed.json()["tags"] == ["a"]


@pytest.mark.parametrize("noun", ["models", "jobs"])
def test_a_stale_change_or_deletion_does_nothing(http: httpx.Client, ended: str, model: str, noun: str) -> None:
    path = f"/v1/{noun}/{ended if noun == 'jobs' else model}"
    stale = http.get(path).headers["etag"]
    assert http.patch(path, json=PATCHED, headers={"If-Match": stale}).status_code == 200
    for answer in (
        http.patch(path, json={"tags": ["b"]}, headers={"If-Match": stale}),
        http.delete(path, headers={"If-Match": stale}),
        http.delete(path, headers={"If-Match": f"W/{http.get(path).headers['etag']}"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
    now = http.get(path)
    assert now.json()["tags"] == ["a"] and now.headers["etag"] in answer.json()["detail"]
    assert http.delete(path, headers={"If-Match": f'"x", {now.headers["etag"]}'}).status_code == 204
    assert http.get(path).status_code == 410
