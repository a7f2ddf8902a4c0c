"""A job is deleted over HTTP."""

import httpx

from tests.app.by_hand import Bench


def test_a_job_is_deleted_once_it_has_ended(http: httpx.Client, bench: Bench, job: str) -> None:
    refused = http.delete(f"/v1/jobs/{job}")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_not_ended")
    bench.succeed(job, bench.start(job), model_onnx=b"small")
    assert http.delete(f"/v1/jobs/{job}").status_code == 204
    for path in ("", "/events", "/report", "/artifacts", "/artifacts/model.onnx"):
        answer = http.get(f"/v1/jobs/{job}{path}")
        assert (answer.status_code, answer.json()["code"]) == (410, "gone"), path
    assert http.delete(f"/v1/jobs/{job}").status_code == 410
