"""The description of the API is whole: every problem, every parameter, and examples that the contract takes."""

import json
import re
import shlex
from typing import Any

import pytest

from app.docs import BODIES
from app.docs_page import curl, render
from app.main import app
from pith.artifact import MEDIA_TYPES
from pith.errors import ERRORS
from pith.job import JobSpec

SPEC: dict[str, Any] = app.openapi()
ROUTES = [(path, method) for path, methods in SPEC["paths"].items() for method in methods]
PROBLEM = "application/problem+json"


def route(path: str, method: str) -> dict[str, Any]:
    return SPEC["paths"][path][method]


@pytest.mark.parametrize(("path", "method"), ROUTES, ids=str)
def test_every_route_says_what_it_is_and_what_can_go_wrong(path: str, method: str) -> None:
    described = route(path, method)
    assert described["summary"]
    assert all(parameter["description"] for parameter in described.get("parameters", ()))
    if path.startswith("/v1"):
        assert {"400", "422", "500", "503"} <= set(described["responses"])
        named = (path, method) in {
            ("/v1/jobs", "post"),
            ("/v1/keys", "post"),
            ("/v1/uploads", "post"),
            ("/v1/models", "post"),
        }
        assert ("404" in described["responses"]) == ("{" in path or named)
        assert {"401", "403", "429"} <= set(described["responses"]) and described["security"] == [{"key": []}]
        refused = described["responses"]["403"]["content"][PROBLEM]["examples"]
        assert "origin_not_allowed" in refused or method in {"get", "head"}


@pytest.mark.parametrize(("path", "method"), ROUTES, ids=str)
def test_every_problem_is_described_by_a_row_of_the_table(path: str, method: str) -> None:
    for status, answer in route(path, method)["responses"].items():
        for code in answer.get("content", {}).get(PROBLEM, {}).get("examples", ()):
            assert str(ERRORS[code].status) == status
    if path.startswith("/v1"):
        assert "HTTPValidationError" not in json.dumps(route(path, method))


def test_every_reference_leads_somewhere() -> None:
    for name in set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(SPEC))):
        assert name in SPEC["components"]["schemas"]


def test_no_two_routes_have_the_same_id_or_the_same_path() -> None:
    ids = [route(path, method)["operationId"] for path, method in ROUTES]
    assert len(set(ids)) == len(ids)
    shapes = [re.sub(r"{[^}]+}", "{}", path) for path in SPEC["paths"]]
    assert len(set(shapes)) == len(shapes)


def test_what_a_complete_upload_becomes_is_described() -> None:
    for path, method, status in (("/v1/uploads", "post", "201"), ("/v1/uploads/{id}", "put", "200")):
        schema = route(path, method)["responses"][status]["content"]["application/json"]["schema"]
        names = {one["$ref"].rpartition("/")[2] for one in schema["anyOf"]}
        assert names == {"Upload", "Model", "Dataset"}
    assert "204" in route("/v1/uploads/{id}", "patch")["responses"], "the answer to tus"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/datasets", "/v1/uploads", "/v1/keys", "/v1/projects", "/v1/jobs"])
def test_a_repeated_request_whose_thing_is_deleted_is_described(path: str) -> None:
    described = route(path, "post")
    assert "idempotency-key" in [parameter["name"] for parameter in described["parameters"]]
    assert "410" in described["responses"]


def test_every_kind_of_bytes_that_an_artifact_has_is_described() -> None:
    for status in ("200", "206"):
        content = route("/v1/jobs/{id}/artifacts/{name}", "get")["responses"][status]["content"]
        assert set(content) >= set(MEDIA_TYPES.values())
    assert {"206", "304", "416"} <= set(route("/v1/jobs/{id}/report", "get")["responses"])


def test_the_job_examples_are_job_specs_that_make_sense() -> None:
    examples = route("/v1/jobs", "post")["requestBody"]["content"]["application/json"]["examples"]
    for example in examples.values():
        JobSpec.model_validate_json(json.dumps(example["value"])).check()


def test_every_bound_and_every_meaning_of_a_step_is_in_the_schema() -> None:
    step = SPEC["components"]["schemas"]["PruneChannel"]
    assert step["properties"]["pruning_ratio"]["exclusiveMaximum"] == 1
    for name, field in step["properties"].items():
        assert name == "kind" or field["description"]
    assert step["additionalProperties"] is False


def test_the_examples_of_other_bodies_are_such_bodies() -> None:
    for name, kind in BODIES.items():
        assert set(SPEC["components"]["schemas"][name]["properties"]) == set(kind.model_fields)
    for path, method in ROUTES:
        content = route(path, method).get("requestBody", {}).get("content", {}).get("application/json", {})
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        for example in content.get("examples", {}).values() if name in BODIES else ():
            BODIES[name].model_validate_json(json.dumps(example["value"]), strict=True)


def test_where_a_key_is_asked_for_the_lines_send_one() -> None:
    described = route("/v1/jobs", "get")
    assert "Authorization" not in curl("GET", "/v1/jobs", described, "http://h")
    line = curl("GET", "/v1/jobs", described, "http://h", with_key=True)
    assert line == 'curl -sS -H "Authorization: Bearer $PITH_API_KEY" http://h/v1/jobs'
    assert "Authorization" not in curl("GET", "/livez", route("/livez", "get"), "http://h", with_key=True)


def test_the_page_shows_every_route_with_a_line_to_paste() -> None:
    html = render(SPEC, "http://localhost:8000/")
    for path, method in ROUTES:
        assert f"<code>{method.upper()} {path}</code>" in html
    assert "`" not in html.partition("<details id=")[0] and "<code>not_found</code>" in html
    assert "<script" not in html and "http://localhost:8000/v1/jobs" in html and "//cdn" not in html


def test_the_curl_line_of_a_job_is_whole() -> None:
    words = shlex.split(curl("POST", "/v1/jobs", route("/v1/jobs", "post"), "http://h"))
    JobSpec.model_validate_json(words[words.index("-d") + 1])
    assert words[-1] == "http://h/v1/jobs" and "Content-Type: application/json" in words
    assert "{" not in curl("GET", "/v1/jobs/{id}", route("/v1/jobs/{id}", "get"), "http://h")


def test_a_download_goes_into_a_file_and_the_body_of_a_job_is_linked() -> None:
    path = "/v1/jobs/{id}/artifacts/{name}"
    assert " -O " in curl("GET", path, route(path, "get"), "http://here")
    page = render(SPEC, "http://here")
    assert "<a href='#JobSpec'>" in page and "<details id='JobSpec'>" in page


@pytest.mark.parametrize(("noun", "file"), [("models", "model.pt2"), ("datasets", "dataset.npz")])
def test_the_upload_lines_name_a_file_of_the_right_kind(noun: str, file: str) -> None:
    for method in ("put", "post"):
        line = curl(method.upper(), f"/v1/{noun}", route(f"/v1/{noun}", method), "http://here")
        assert file in line
