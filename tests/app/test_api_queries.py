"""Every route refuses query parameters that it does not know, and every list has a limit and a cursor."""

import re
from typing import Any

import httpx
import pytest

from app.main import app
from tests.app.by_hand import Bench

PATHS: dict[str, Any] = app.openapi()["paths"]
ROUTES = [(method, path) for path, methods in PATHS.items() for method in methods]
KINDS = {"models": "mdl", "datasets": "dts", "jobs": "job", "uploads": "upl", "keys": "key", "projects": "prj"}


def filled(path: str) -> str:
    kind = KINDS.get(path.split("/")[2] if path.count("/") > 1 else "", "job")
    return path.replace("{id}", f"{kind}_{'7' * 26}").replace("{name}", "model.onnx")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_an_unknown_parameter_is_refused_by_name(http: httpx.Client, method: str, path: str) -> None:
    answer = http.request(method, filled(path), params={"limt": "3"})
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed_request"), answer.text
    (wrong,) = answer.json()["errors"]
    assert wrong["pointer"] == "/query/limt" and wrong["code"] == "extra_forbidden"
    known = [one["name"] for one in PATHS[path][method].get("parameters", ()) if one["in"] == "query"]
    if "limit" in known:
        assert "did you mean limit?" in wrong["detail"]
    assert ", ".join(known) in wrong["detail"] if known else "takes no query parameters" in wrong["detail"]


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/models/model.pt2"])
def test_so_do_routes_that_are_not_described(http: httpx.Client, path: str) -> None:
    answer = http.request("PUT" if "model" in path else "GET", path, params={"nam": "x"}, content=b"x")
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed_request")


def test_a_name_of_control_characters_is_shown_without_them(http: httpx.Client) -> None:
    answer = http.get("/v1/jobs?%00%0a~/=1&" + "&".join(f"x{number}=1" for number in range(500)))
    assert answer.status_code == 422 and len(answer.json()["errors"]) == 20
    assert answer.json()["errors"][0]["pointer"] == "/query/  ~0~1"


def test_every_list_has_a_limit_and_a_cursor() -> None:
    lists = []
    for path, methods in PATHS.items():
        answer = (
            methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {}).get("application/json", {})
        )
        if re.search(r"/Page_", str(answer.get("schema", {}))):
            lists.append(path)
            names = {one["name"] for one in methods["get"]["parameters"]}
            assert "limit" in names and names & {"cursor", "after"}, path
    assert len(lists) >= 7


def test_artifacts_come_in_pages(http: httpx.Client, bench: Bench, job: str) -> None:
    bench.succeed(job, bench.start(job), report_json=b"{}", model_onnx=b"x", model_pt2=b"y")
    path, found, cursor = f"/v1/jobs/{job}/artifacts", [], {}
    for _ in range(3):
        page = http.get(path, params={"limit": 1, **cursor}).json()
        found += [one["name"] for one in page["data"]]
        cursor = {"cursor": page["next_cursor"]}
    assert found == ["model.onnx", "model.pt2", "report.json"] and page["next_cursor"] is None


@pytest.mark.parametrize("naming", ["x", "job_" + "7" * 26, "mdl_" + "7" * 25, "mdl_" + "7" * 26 + "'"])
def test_a_malformed_naming_is_refused(http: httpx.Client, naming: str) -> None:
    for name in ("naming", "model"):
        answer = http.get("/v1/jobs", params={name: naming})
        assert (answer.status_code, answer.json()["code"]) == (422, "malformed_request")
        assert answer.json()["errors"][0]["pointer"] == f"/query/{name}"
