"""Uploads over HTTP: what is said of them, what their check found, and the jobs that wait for it."""

import json
import os
import threading
import time

import httpx
import pytest

from pith.errors import PithError
from tests.app.by_hand import Bench

ARCHITECTURE = {"name": "pith/lenet5", "arguments": {"num_classes": 4}, "input_shape": [1, 8, 8], "seed": 3}
WORDS = {
    "architecture": "pith/lenet5",
    "arguments": '{"num_classes": 4}',
    "input_shape": "1,8,8",
    "seed": "3",
}
SCHEMA = {"label": "y", "shares": {"test": 0.5}}
RECIPE = [{"kind": "quantize.dynamic"}]
PICKLED = PithError("model_pickled", found="os.system").problem


def upload(http: httpx.Client, noun: str = "models") -> dict:
    return http.put(f"/v1/{noun}", content=os.urandom(32)).json()


def fields(problem: httpx.Response) -> list[tuple[str, str]]:
    assert problem.status_code == 422, problem.text
    return [(one["pointer"], one["detail"]) for one in problem.json()["errors"]]


# ---- what is said of an upload


def test_an_architecture_goes_with_the_file_in_the_query_or_in_the_form(http: httpx.Client) -> None:
    by_query = http.put("/v1/models", params=WORDS, content=b"weights")
    by_form = http.post("/v1/models", data=WORDS, files={"file": ("w.pth", b"weights")})
    both = http.post(
        "/v1/models", params={"seed": "3", "architecture": "pith/lenet5"}, data=WORDS, files={"file": b"weights"}
    )
    for answer in (by_query, by_form, both):
        assert answer.status_code == 201, answer.text
        assert (answer.json()["architecture"], answer.json()["size_bytes"]) == (ARCHITECTURE, 7)
        assert answer.json()["status"] == "checking"


def test_an_architecture_alone_is_a_model(http: httpx.Client) -> None:
    answer = http.post("/v1/models", json=ARCHITECTURE)
    made = answer.json()
    assert answer.status_code == 201 and answer.headers["Location"] == f"/v1/models/{made['id']}"
    assert (made["name"], made["digest"], made["size_bytes"], made["architecture"]) == ("lenet5", None, 0, ARCHITECTURE)
    assert http.post("/v1/models", params={"name": "mine"}, json=ARCHITECTURE).json()["name"] == "mine"
    assert "/arguments" in http.post("/v1/datasets", json=ARCHITECTURE).text


def test_a_request_without_a_body_is_told_what_it_could_have(http: httpx.Client) -> None:
    said = {noun: http.post(f"/v1/{noun}").json()["detail"] for noun in ("models", "datasets")}
    assert (
        "or a source or an Architecture as application/json, and the request says nothing about it;" in said["models"]
    )
    assert "or a source as application/json, and" in said["datasets"] and "'" not in said["datasets"]


def test_a_schema_goes_with_the_file_in_the_query_or_in_the_form(http: httpx.Client) -> None:
    said = {"schema": json.dumps(SCHEMA)}
    by_query = http.put("/v1/datasets", params=said, content=b"x,y").json()
    by_form = http.post("/v1/datasets", data=said, files={"file": ("t.csv", b"x,y")}).json()
    for made in (by_query, by_form):
        assert (made["declared"]["label"], made["declared"]["shares"]) == ("y", {"validation": 0, "test": 0.5})
    assert http.put("/v1/datasets", content=b"x").json()["declared"] is None


NOT_ARCHITECTURES = {
    "no library": ({**WORDS, "architecture": "lenet5"}, "architecture", "names a library and a network"),
    "arguments alone": ({"arguments": "{}"}, "architecture", "is missing"),
    "no object": ({**WORDS, "arguments": "[1]"}, "arguments", "should be a JSON object"),
    "no JSON": ({**WORDS, "arguments": "{"}, "arguments", "should be a JSON object"),
    "no shape": ({**WORDS, "input_shape": "1,x"}, "input_shape", "should be whole numbers"),
    "too long a shape": ({**WORDS, "input_shape": "1,1,1,1,1,1,1,1,1"}, "input_shape", "takes at most 8, and has 9"),
    "no seed": ({**WORDS, "seed": "-1"}, "seed", "should be whole numbers"),
    "a number that is none": ({**WORDS, "arguments": '{"a": NaN}'}, "architecture", "no NaN"),
    "a character that is none": ({**WORDS, "arguments": '{"a": "\\u0000"}'}, "architecture", "no control characters"),
    "too deep": ({**WORDS, "arguments": '{"a": ' + "[" * 20 + "]" * 20 + "}"}, "architecture", "8 levels"),
}


@pytest.mark.parametrize(("words", "field", "said"), NOT_ARCHITECTURES.values(), ids=NOT_ARCHITECTURES)
def test_a_wrong_architecture_is_told_where_and_nothing_is_stored(
    http: httpx.Client, words: dict[str, str], field: str, said: str
) -> None:
    before = http.get("/v1/models", params={"limit": 1}).json()["data"]
    ((pointer, detail),) = fields(http.put("/v1/models", params=words, content=os.urandom(9)))
    assert (pointer, said in detail) == (f"/query/{field}", True), detail
    ((pointer, detail),) = fields(http.post("/v1/models", data=words, files={"file": os.urandom(9)}))
    assert (pointer, said in detail) == (f"/{field}", True), detail
    assert http.get("/v1/models", params={"limit": 1}).json()["data"] == before


def test_a_wrong_schema_is_told_where(http: httpx.Client) -> None:
    said = {"schema": '{"lable": "y", "shares": {"test": 2}}'}
    found = fields(http.put("/v1/datasets", params=said, content=b"x"))
    assert [pointer for pointer, _ in found] == ["/query/schema/shares/test", "/query/schema/lable"]
    assert "did you mean label?" in found[1][1] and "less than 1" in found[0][1]
    found = fields(http.post("/v1/datasets", data=said, files={"file": b"x"}))
    assert [pointer for pointer, _ in found] == ["/schema/shares/test", "/schema/lable"]


def test_a_wrong_architecture_as_json(http: httpx.Client) -> None:
    ((pointer, detail),) = fields(http.post("/v1/models", json={**ARCHITECTURE, "argments": {}}))
    assert pointer == "/argments" and "no option of an architecture" in detail and "did you mean arguments?" in detail
    clean = {**ARCHITECTURE, "arguments": {"a": "\x00"}}
    assert "control characters" in fields(http.post("/v1/models", json=clean))[0][1]
    assert http.post("/v1/models", json={}).status_code == 422


def test_the_parts_of_a_form_are_bounded(http: httpx.Client) -> None:
    long = http.post("/v1/models", data={"arguments": "x" * 70_000}, files={"file": b"x"})
    assert long.json()["code"] == "multipart_malformed" and "longer than 65536 bytes" in long.json()["detail"]
    other = http.post("/v1/models", data={"schema": "{}"}, files={"file": b"x"})
    assert "the part 'schema' is not taken" in other.json()["detail"]


# ---- what a check has found


def test_a_model_shows_what_was_learnt(http: httpx.Client, bench: Bench) -> None:
    made = upload(http)
    bench.learn(made["check"], notes=["the prefix module. was taken off"])
    found = http.get(f"/v1/models/{made['id']}").json()
    assert found["status"] == "ready" and found["facts"]["layers"] and found["facts"]["notes"]
    (listed,) = http.get("/v1/models", params={"status": "ready", "limit": 1}).json()["data"]
    assert listed["id"] == made["id"] and listed["facts"]["layers"] == [] and listed["facts"]["parameters"]
    assert http.get("/v1/models", params={"status": "good"}).status_code == 422


def test_a_rejected_model_says_why_and_can_be_checked_again(http: httpx.Client, bench: Bench) -> None:
    made = upload(http)
    bench.reject(made["check"], PICKLED)
    found = http.get(f"/v1/models/{made['id']}").json()
    assert (found["status"], found["error"]["code"], found["facts"]) == ("rejected", "model_pickled", None)
    refused = http.post("/v1/jobs", json={"model": made["id"], "recipe": RECIPE})
    assert (refused.status_code, refused.json()["code"]) == (409, "input_rejected")
    assert refused.json()["errors"][0]["pointer"] == "/model"
    again = http.post(f"/v1/models/{made['id']}/check")
    assert (again.status_code, again.json()["status"]) == (202, "checking")
    twice = http.post(f"/v1/models/{made['id']}/check")
    assert (twice.status_code, twice.json()["code"]) == (409, "check_under_way")
    bench.learn(again.json()["check"])
    assert http.get(f"/v1/models/{made['id']}").json()["status"] == "ready"
    assert http.post("/v1/models/mdl_x/check").status_code == 404


def test_a_preview(http: httpx.Client, bench: Bench) -> None:
    made = upload(http, "datasets")
    early = http.get(f"/v1/datasets/{made['id']}/preview")
    assert (early.status_code, early.json()["code"]) == (409, "not_ready")
    bench.learn(made["check"])
    assert http.get(f"/v1/datasets/{made['id']}/preview").json()["samples"] == [{"x": 1}]
    rejected = upload(http, "datasets")
    bench.reject(rejected["check"], PICKLED)
    late = http.get(f"/v1/datasets/{rejected['id']}/preview")
    assert late.status_code == 409 and PICKLED.detail in late.json()["detail"]


def test_waiting_answers_when_the_check_is_over(http: httpx.Client, bench: Bench) -> None:
    made = upload(http)
    found: list[str] = []

    def wait() -> None:
        found.append(http.get(f"/v1/models/{made['id']}", params={"wait": 25}).json()["status"])

    waiting = [threading.Thread(target=wait) for _ in range(20)]
    for thread in waiting:
        thread.start()
    time.sleep(0.3)
    assert found == []
    bench.learn(made["check"])
    for thread in waiting:
        thread.join(20)
    assert found == ["ready"] * 20


def test_waiting_ends_by_itself_and_is_bounded(http: httpx.Client, bench: Bench) -> None:
    made = upload(http)
    assert http.get(f"/v1/models/{made['id']}", params={"wait": 0.3}).json()["status"] == "checking"
    assert http.get(f"/v1/models/{made['id']}", params={"wait": 61}).status_code == 422
    assert http.get("/v1/models/mdl_" + "0" * 26, params={"wait": 50}).status_code == 404
    bench.learn(made["check"])


# ---- jobs


def test_a_job_may_be_submitted_at_once_and_waits(http: httpx.Client, bench: Bench) -> None:
    model = upload(http)
    answer = http.post("/v1/jobs", json={"model": model["id"], "recipe": RECIPE})
    assert answer.status_code == 202
    job = answer.json()["id"]
    (queued,) = http.get(f"/v1/jobs/{job}/events").json()["data"]
    assert model["id"] in queued["message"]
    bench.reject(model["check"], PICKLED)
    ended = http.get(f"/v1/jobs/{job}").json()
    assert (ended["status"], ended["error"]["code"]) == ("failed", "input_rejected")


def test_checks_are_jobs_that_lists_leave_out_unless_asked(http: httpx.Client, bench: Bench) -> None:
    model = upload(http)
    shown = http.get(f"/v1/jobs/{model['check']}").json()
    assert (shown["spec"], shown["status"]) == ({"check": model["id"]}, "queued")
    for kind, there in (("compression", False), ("intake", True), ("all", True)):
        listed = http.get("/v1/jobs", params={"kind": kind, "limit": 5}).json()["data"]
        assert (model["check"] in [job["id"] for job in listed]) is there
    assert http.post(f"/v1/jobs/{model['check']}/cancel").json()["status"] == "cancelled"
    assert http.get(f"/v1/models/{model['id']}").json()["error"]["code"] == "check_cancelled"


def test_a_dry_run_stores_nothing(http: httpx.Client, bench: Bench, model: str) -> None:
    bench.learn_all()
    before = http.get("/v1/jobs", params={"limit": 1}).json()["data"]
    answer = http.post("/v1/jobs", params={"dry_run": "true"}, json={"model": model, "recipe": RECIPE})
    assert answer.status_code == 200, answer.text
    assert answer.json()["possible"] is True and answer.json()["steps"][0]["kind"] == "quantize.dynamic"
    assert http.get("/v1/jobs", params={"limit": 1}).json()["data"] == before


def test_what_the_plan_finds_impossible_is_refused_with_all_of_it(http: httpx.Client, bench: Bench, model: str) -> None:
    bench.learn_all()
    dataset = upload(http, "datasets")
    columns = [{"name": "other", "role": "input", "type": "tensor", "dtype": "float32", "shape": [9]}]
    bench.learn(dataset["check"], columns=columns)
    spec = {"model": model, "dataset": dataset["id"], "recipe": [{"kind": "finetune.full"}]}
    problems = http.post("/v1/jobs", params={"dry_run": "true"}, json=spec).json()["problems"]
    assert problems
    refused = http.post("/v1/jobs", json=spec)
    assert (refused.status_code, refused.json()["code"]) == (problems[0]["status"], problems[0]["code"])
    assert len(refused.json()["errors"]) >= len(problems)
