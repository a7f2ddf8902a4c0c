"""Artifacts and reports: whole, in ranges, conditionally; and reports that are not there yet. From a folder and from a
bucket, which a caller cannot tell apart."""

import hashlib
import os
from collections.abc import Iterator

import httpx
import pytest

from pith.errors import PithError
from pith.faces.markdown import markdown
from store.s3_blobs import S3Blobs
from store.s3_keys import FOLDER
from tests import reports
from tests.app.api_process import ApiProcess
from tests.app.by_hand import Bench

ONNX = os.urandom(3 * 2**20 + 17)
SIZE = len(ONNX)
ETAG = f'"sha256:{hashlib.sha256(ONNX).hexdigest()}"'


@pytest.fixture(scope="module")
def api(on_either: ApiProcess) -> ApiProcess:
    return on_either


@pytest.fixture(scope="module")
def bench(api: ApiProcess, storage: dict[str, str]) -> Iterator[Bench]:
    bench = Bench(api.data, **storage)
    yield bench
    bench.db.close()


@pytest.fixture
def done(bench: Bench, job: str) -> str:
    """The path of a succeeded job with a model and a report."""
    attempt = bench.start(job)
    bench.succeed(job, attempt, model_onnx=ONNX, report_json=b'{"a":1}', report_html=b"<h1>r</h1>")
    return f"/v1/jobs/{job}"


def test_the_whole(http: httpx.Client, done: str) -> None:
    answer = http.get(f"{done}/artifacts/model.onnx")
    assert (answer.status_code, answer.content) == (200, ONNX)
    assert (answer.headers["etag"], answer.headers["accept-ranges"]) == (ETAG, "bytes")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''model.onnx"
    assert answer.headers["content-length"] == str(SIZE)


def test_head_has_the_headers_alone(http: httpx.Client, done: str) -> None:
    whole, head = (http.request(method, f"{done}/artifacts/model.onnx") for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-length", "content-type", "accept-ranges", "content-disposition"):
        assert head.headers[name] == whole.headers[name]


def test_a_range_is_for_get_alone(http: httpx.Client, done: str) -> None:
    head = http.head(f"{done}/artifacts/model.onnx", headers={"Range": "bytes=0-0"})
    assert (head.status_code, head.headers["content-length"]) == (200, str(SIZE))


RANGES = {
    "bytes=0-0": (0, 1),
    "bytes=5-10": (5, 11),
    f"bytes=1048570-{2**20 + 5}": (1048570, 2**20 + 6),
    "bytes=100-": (100, SIZE),
    "bytes=-7": (SIZE - 7, SIZE),
    f"bytes=-{SIZE * 2}": (0, SIZE),
    f"bytes=10-{SIZE * 2}": (10, SIZE),
    f"bytes={SIZE - 1}-{SIZE - 1}": (SIZE - 1, SIZE),
}


@pytest.mark.parametrize(("asked", "span"), RANGES.items(), ids=RANGES)
def test_a_range(http: httpx.Client, done: str, asked: str, span: tuple[int, int]) -> None:
    answer = http.get(f"{done}/artifacts/model.onnx", headers={"Range": asked, "If-Range": ETAG})
    start, end = span
    assert (answer.status_code, answer.content) == (206, ONNX[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=-0", f"bytes={'9' * 19}-"])
def test_a_range_outside(http: httpx.Client, done: str, asked: str) -> None:
    refused = http.get(f"{done}/artifacts/model.onnx", headers={"Range": asked})
    assert (refused.status_code, refused.json()["code"]) == (416, "range_not_satisfiable")
    assert refused.headers["content-range"] == f"bytes */{SIZE}"


WHOLE = [
    "bytes=5-4",
    "bytes=-",
    "bytes=0-1,5-6",
    "lines=1-2",
    "bytes=a-b",
    "bytes=²-5",
    f"bytes={'9' * 5000}-",
    "",
    "x",
]


@pytest.mark.parametrize("asked", WHOLE, ids=lambda asked: asked[:20])
def test_ranges_that_make_no_sense_or_are_many_get_the_whole(http: httpx.Client, done: str, asked: str) -> None:
    answer = http.get(f"{done}/artifacts/model.onnx", headers={"Range": asked.encode()})
    assert (answer.status_code, len(answer.content)) == (200, SIZE)


def test_a_range_of_something_else_gets_the_whole(http: httpx.Client, done: str) -> None:
    headers = {"Range": "bytes=0-0", "If-Range": '"sha256:other"'}
    assert http.get(f"{done}/artifacts/model.onnx", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "condition", [ETAG, f"W/{ETAG}", f'"x", {ETAG}', "*"], ids=["the same", "weakly", "one of several", "any"]
)
def test_what_the_caller_has_is_not_sent_again(http: httpx.Client, done: str, condition: str) -> None:
    answer = http.get(f"{done}/artifacts/model.onnx", headers={"If-None-Match": condition})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", ETAG)


def test_what_the_caller_has_of_something_else_is_sent(http: httpx.Client, done: str) -> None:
    assert http.get(f"{done}/artifacts/model.onnx", headers={"If-None-Match": '"x"'}).status_code == 200


def test_artifacts_are_listed_with_their_digests(http: httpx.Client, done: str) -> None:
    listed = {one["name"]: one for one in http.get(f"{done}/artifacts").json()["data"]}
    assert sorted(listed) == ["model.onnx", "report.html", "report.json"]
    assert listed["model.onnx"]["digest"] == ETAG.strip('"')


def test_an_artifact_that_is_not_there(http: httpx.Client, done: str) -> None:
    refused = http.get(f"{done}/artifacts/model.pt2")
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert http.get(f"{done}/artifacts/..%2F..%2Fpith.db").status_code == 404


def test_bytes_that_are_gone_are_said_to_be(http: httpx.Client, bench: Bench, job: str) -> None:
    content = os.urandom(50)
    bench.succeed(job, bench.start(job), model_onnx=content)
    lost = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if isinstance(bench.blobs, S3Blobs):
        bench.blobs.bucket.delete(FOLDER + bench.blobs.objects.find(lost).key)
    else:
        bench.blobs.path(lost).unlink()
    refused = http.get(f"/v1/jobs/{job}/artifacts/model.onnx")
    assert (refused.status_code, refused.json()["code"]) == (500, "blob_missing")


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("text/html", "text/html"),
        (BROWSER, "text/html"),
        ("text/html;q=0.1, application/json", "application/json"),
        ("image/png", "application/json"),
        ("text/html;q=x", "application/json"),
    ],
)
def test_a_report_as_it_is_wanted(http: httpx.Client, done: str, accept: str, kind: str) -> None:
    answer = http.get(f"{done}/report", headers={"Accept": accept})
    assert answer.headers["content-type"].split(";")[0] == kind
    assert answer.content == (b"<h1>r</h1>" if kind == "text/html" else b'{"a":1}')
    assert answer.headers["vary"] == "Accept"


def test_a_report_as_markdown_is_made_of_what_was_stored(http: httpx.Client, bench: Bench, job: str) -> None:
    found = reports.report("text", headline=("<script>alert(1)</script> | `x`",))
    bench.succeed(job, bench.start(job), report_json=found.model_dump_json().encode(), report_html=b"<p>")
    accept = {"Accept": "text/markdown, text/html;q=0.5"}
    answer = http.get(f"/v1/jobs/{job}/report", headers=accept)
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8" and answer.headers["vary"] == "Accept"
    assert answer.text == markdown(found) and "<script" not in answer.text.replace(r"\<", "")
    head = http.head(f"/v1/jobs/{job}/report", headers=accept)
    assert head.content == b"" and head.headers["content-length"] == str(len(answer.content))
    assert head.headers["etag"] == answer.headers["etag"] != http.get(f"/v1/jobs/{job}/report").headers["etag"]
    known = {**accept, "If-None-Match": answer.headers["etag"]}
    assert http.get(f"/v1/jobs/{job}/report", headers=known).status_code == 304
    stale = http.get(f"/v1/jobs/{job}/report", headers={**accept, "If-Match": '"other"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")


def test_a_report_of_another_version_is_no_markdown_and_says_what_it_can_be(http: httpx.Client, done: str) -> None:
    refused = http.get(f"{done}/report", headers={"Accept": "text/markdown"})
    assert (refused.status_code, refused.json()["code"]) == (406, "report_unreadable")
    assert done.rpartition("/")[2] in refused.json()["detail"] and "application/json" in refused.json()["detail"]


def test_a_report_whose_bytes_are_gone_is_no_markdown(http: httpx.Client, bench: Bench, job: str) -> None:
    content = os.urandom(50).hex().encode()
    bench.succeed(job, bench.start(job), report_json=content, report_html=b"<p>")
    lost = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if isinstance(bench.blobs, S3Blobs):
        bench.blobs.bucket.delete(FOLDER + bench.blobs.objects.find(lost).key)
    else:
        bench.blobs.path(lost).unlink()
    refused = http.get(f"/v1/jobs/{job}/report", headers={"Accept": "text/markdown"})
    assert (refused.status_code, refused.json()["code"]) == (500, "blob_missing")


def test_the_page_of_a_report_can_do_nothing(http: httpx.Client, done: str) -> None:
    answer = http.get(f"{done}/report", headers={"Accept": "text/html"})
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "sandbox;" in policy and "script-src" not in policy
    assert answer.headers["content-disposition"].startswith("inline")


def test_there_is_no_report_before_the_end(http: httpx.Client, job: str) -> None:
    refused = http.get(f"/v1/jobs/{job}/report")
    assert (refused.status_code, refused.json()["code"]) == (409, "report_not_ready")
    assert refused.json()["detail"].endswith("is queued; a report exists once a job has succeeded.")


def test_a_job_that_failed_has_no_report_and_says_why(http: httpx.Client, bench: Bench, job: str) -> None:
    problem = PithError("engine_died", cause="signal 9", where="step 1", hint="").problem
    assert bench.jobs.fail(job, bench.start(job), problem)
    refused = http.get(f"/v1/jobs/{job}/report")
    assert (refused.status_code, refused.json()["code"]) == (409, "report_not_ready")
    assert refused.json()["detail"].endswith(f"; its error: {problem.detail}")
