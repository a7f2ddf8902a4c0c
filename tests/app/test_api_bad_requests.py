"""Requests that make no sense: each gets a problem with a stable code, a pointer, and a sentence with a way out."""

from typing import Any

import httpx
import pytest

from app.main import app
from pith.errors import ERRORS, Problem

GOOD: dict[str, Any] = {"model": "mdl_" + "0" * 26, "recipe": [{"kind": "quantize.dynamic"}]}
NOBODY = "0" * 26
PRUNE = {"kind": "prune.channel"}
QUANTIZE = {"kind": "quantize.dynamic"}


def problem(response: httpx.Response) -> Problem:
    """The problem in a response, which must be one in every respect."""
    assert response.headers["content-type"] == "application/problem+json"
    found = Problem.model_validate_json(response.content)
    assert found.status == response.status_code == ERRORS[found.code].status
    assert found.type == f"urn:pith:error:{found.code}"
    assert len(response.content) < 10_000
    return found


ROUTES = {
    "unknown route": ("GET", "/v1/nothing", 404, "route_not_found"),
    "unknown id": ("GET", f"/v1/models/mdl_{NOBODY}", 404, "not_found"),
    "no id at all": ("GET", "/v1/jobs/what's-this", 404, "not_found"),
    "NUL in an id": ("GET", "/v1/jobs/a%00b", 404, "not_found"),
    "NUL in a name": ("GET", f"/v1/jobs/job_{NOBODY}/artifacts/a%00b", 404, "not_found"),
    "delete unknown": ("DELETE", f"/v1/datasets/dts_{NOBODY}", 404, "not_found"),
    "cancel unknown": ("POST", f"/v1/jobs/job_{NOBODY}/cancel", 404, "not_found"),
    "events of unknown": ("GET", f"/v1/jobs/job_{NOBODY}/events", 404, "not_found"),
    "report of unknown": ("GET", f"/v1/jobs/job_{NOBODY}/report", 404, "not_found"),
    "artifacts of unknown": ("GET", f"/v1/jobs/job_{NOBODY}/artifacts", 404, "not_found"),
    "trailing slash": ("GET", "/v1/jobs/", 404, "route_not_found"),
    "bad cursor": ("GET", "/v1/models?cursor=%F0%9F%92%A9", 400, "bad_cursor"),
    "cursor of another list": ("GET", f"/v1/jobs?cursor=mdl_{NOBODY}", 400, "bad_cursor"),
    "limit too small": ("GET", "/v1/jobs?limit=0", 422, "malformed_request"),
    "limit too large": ("GET", "/v1/jobs?limit=201", 422, "malformed_request"),
    "limit no number": ("GET", "/v1/jobs?limit=many", 422, "malformed_request"),
    "huge limit": ("GET", f"/v1/jobs?limit={'9' * 5000}", 422, "malformed_request"),
    "unknown status": ("GET", "/v1/jobs?status=done", 422, "malformed_request"),
    "after too large": ("GET", f"/v1/jobs/job_{NOBODY}/events?after={2**63}", 422, "malformed_request"),
    "after negative": ("GET", f"/v1/jobs/job_{NOBODY}/events?after=-1", 422, "malformed_request"),
}


@pytest.mark.parametrize(("method", "path", "status", "code"), ROUTES.values(), ids=ROUTES)
def test_bad_routes_ids_and_parameters(http: httpx.Client, method: str, path: str, status: int, code: str) -> None:
    found = problem(http.request(method, path))
    assert (found.status, found.code) == (status, code)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("DELETE", "/v1/models", "GET, PUT, POST"), ("POST", f"/v1/models/mdl_{NOBODY}", "GET, PUT, PATCH, DELETE")],
)
def test_a_wrong_method_is_told_all_the_right_ones(http: httpx.Client, method: str, path: str, allowed: str) -> None:
    refused = http.request(method, path)
    assert problem(refused).code == "method_not_allowed"
    assert refused.headers["allow"] == allowed


SPECS: dict[str, tuple[Any, list[tuple[str, str]]]] = {
    "unknown step": ([{"kind": "prune.everything"}], [("/recipe/0", "union_tag_invalid")]),
    "unknown family": ([{"kind": "shrink"}], [("/recipe/0", "union_tag_invalid")]),
    "no kind": ([{}], [("/recipe/0", "union_tag_not_found")]),
    "no step": ([17], [("/recipe/0", "dict_type")]),
    "unknown field": ([{**PRUNE, "ratio": 0.5}], [("/recipe/0/ratio", "extra_forbidden")]),
    "field of an odd name": ([{**PRUNE, "a/b~c": 1}], [("/recipe/0/a~1b~0c", "extra_forbidden")]),
    "field named as a kind": ([{**PRUNE, "prune.channel": 1}], [("/recipe/0/prune.channel", "extra_forbidden")]),
    "above its bound": ([QUANTIZE, {**PRUNE, "pruning_ratio": 1}], [("/recipe/1/pruning_ratio", "less_than")]),
    "below its bound": ([{**PRUNE, "pruning_ratio": 0}], [("/recipe/0/pruning_ratio", "greater_than")]),
    "within a step": ([{**PRUNE, "recovery": {"epochs": 0}}], [("/recipe/0/recovery/epochs", "greater_than_equal")]),
    "a number in quotes": ([{**PRUNE, "iterations": "3"}], [("/recipe/0/iterations", "int_type")]),
    "a truth for a number": ([{**PRUNE, "iterations": True}], [("/recipe/0/iterations", "int_type")]),
    "wrong choice": ([{**QUANTIZE, "bits": 3}], [("/recipe/0/bits", "literal_error")]),
    "fits no branch": ([{"kind": "distill.logits", "teacher": "me"}], [("/recipe/0/teacher", "literal_error")]),
    "NUL in a name": ([{**PRUNE, "ignore": ["a\0b"]}], [("/recipe/0/ignore/0", "string_pattern_mismatch")]),
    "two at once": (
        [{**PRUNE, "x": 1}, {**QUANTIZE, "bits": 1}],
        [("/recipe/0/x", "extra_forbidden"), ("/recipe/1/bits", "literal_error")],
    ),
    "empty recipe": ([], [("/recipe", "value_error")]),
    "long recipe": ([PRUNE] * 33, [("/recipe", "value_error")]),
    "recipe no list": ("prune", [("/recipe", "tuple_type")]),
}


@pytest.mark.parametrize(("recipe", "expected"), SPECS.values(), ids=SPECS)
def test_a_wrong_recipe_is_pointed_at(http: httpx.Client, recipe: Any, expected: list[tuple[str, str]]) -> None:
    found = problem(http.post("/v1/jobs", json={**GOOD, "recipe": recipe}))
    assert found.code == "malformed_request"
    assert [(one.pointer, one.code) for one in found.errors] == expected
    assert found.errors[0].detail in found.detail
    assert "prune.channel" not in found.errors[0].pointer or "prune.channel" in str(recipe[0].keys())


def test_the_offending_value_is_in_the_sentence(http: httpx.Client) -> None:
    found = problem(http.post("/v1/jobs", json={**GOOD, "recipe": [{**PRUNE, "pruning_ratio": 1.5}]}))
    assert "1.5" in found.detail and "less than 1" in found.detail


def test_every_branch_of_a_union_is_in_one_problem(http: httpx.Client) -> None:
    found = problem(http.post("/v1/jobs", json={**GOOD, "recipe": [{"kind": "distill.logits", "teacher": "me"}]}))
    assert "'baseline'" in found.errors[0].detail and "mdl_" in found.errors[0].detail


BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "json_invalid"),
    "no JSON": (b"{", "json_invalid"),
    "a list": (b"[]", "model_type"),
    "null": (b"null", "model_type"),
    "missing fields": (b"{}", "missing"),
    "nested 10,000 deep": (b'{"model":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "json_invalid"),
    "objects 10,000 deep": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "json_invalid"),
    "NaN": (b'{"recipe":[{"kind":"prune.channel","pruning_ratio":NaN}]}', "missing"),
    "infinity": (b'{"constraints":{"min_speedup":1e999}}', "missing"),
    "huge integer": (b'{"seed":' + b"9" * 5000 + b"}", "json_invalid"),
    "not UTF-8": (b'{"model":"\xff"}', "json_invalid"),
    "half a character": (rb'{"model":"\ud800"}', "json_invalid"),
}


@pytest.mark.parametrize(("body", "code"), BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_job_spec(http: httpx.Client, body: bytes, code: str) -> None:
    found = problem(http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"}))
    assert (found.code, found.errors[0].code) == ("malformed_request", code)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none(http: httpx.Client, value: str) -> None:
    body = f'{{"model":"{GOOD["model"]}","recipe":[{{"kind":"prune.channel","pruning_ratio":{value}}}]}}'
    found = problem(http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"}))
    assert [one.pointer for one in found.errors] == ["/recipe/0/pruning_ratio"]


@pytest.mark.parametrize("seed", ["9" * 4000, "-1", str(2**63), "1.5", '"x"'])
def test_seeds_that_are_none(http: httpx.Client, seed: str) -> None:
    body = f'{{"model":"{GOOD["model"]}","recipe":[{{"kind":"quantize.dynamic"}}],"seed":{seed}}}'
    found = problem(http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"}))
    assert [one.pointer for one in found.errors] == ["/seed"]


def test_a_megabyte_of_wrong_steps_gets_a_short_answer(http: httpx.Client) -> None:
    found = problem(http.post("/v1/jobs", json={**GOOD, "recipe": [0] * 200_000}))
    assert found.code == "malformed_request" and len(found.errors) <= 20


def test_a_body_that_is_too_large(http: httpx.Client) -> None:
    for body in (b" " * (2**20 + 1), iter([b" " * 2**19] * 3)):
        refused = http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
        assert (refused.status_code, problem(refused).code) == (413, "body_too_large")


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_json_must_say_so(http: httpx.Client, kind: str | None) -> None:
    """A page of another origin can send anything but JSON without asking first."""
    headers = {} if kind is None else {"Content-Type": kind}
    assert problem(http.post("/v1/jobs", content=b"{}", headers=headers)).code == "media_type_not_supported"


NONSENSE = {
    "impossible order": ({"recipe": [QUANTIZE, PRUNE]}, "recipe_order"),
    "no data to train on": ({"recipe": [{"kind": "finetune.full"}]}, "dataset_required"),
    "no data to check with": ({"constraints": {"max_metric_drop": 0.01}}, "dataset_required_by_constraint"),
    "unknown model": ({}, "not_found"),
    "unknown teacher": (
        {"dataset": f"dts_{NOBODY}", "recipe": [{"kind": "distill.logits", "teacher": f"mdl_{NOBODY}"}]},
        "not_found",
    ),
}


@pytest.mark.parametrize(("change", "code"), NONSENSE.values(), ids=NONSENSE)
def test_a_spec_that_is_well_formed_and_makes_no_sense(http: httpx.Client, change: dict[str, Any], code: str) -> None:
    assert problem(http.post("/v1/jobs", json={**GOOD, **change})).code == code


def test_the_order_problem_names_the_steps_and_the_way_out(http: httpx.Client) -> None:
    found = problem(http.post("/v1/jobs", json={**GOOD, "recipe": [QUANTIZE, PRUNE]}))
    assert "recipe[1] (prune.channel)" in found.detail and "move recipe[1] before it" in found.detail


@pytest.mark.parametrize(("path", "name"), [("/v1/models", "arguments"), ("/v1/datasets", "schema")])
def test_the_longest_parameter_that_is_described_reaches_the_service(http: httpx.Client, path: str, name: str) -> None:
    """A longer line is refused before the service sees it, and not as a problem."""
    [limit] = [
        one["maxLength"]
        for parameter in app.openapi()["paths"][path]["put"]["parameters"]
        if parameter["name"] == name
        for one in parameter["schema"]["anyOf"]
        if "maxLength" in one
    ]
    for length in (limit, limit + 1):
        answer = http.put(f"{path}?{name}=" + "%7B" * length, content=b"x")
        assert problem(answer).code == "malformed_request"
