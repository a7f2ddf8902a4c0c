"""The pages of jobs show nothing of another project, and let nobody in who has no key."""

import os
from collections.abc import Iterator

import httpx
import pytest

from pith.access import NewKey, NewProject
from pith.client import Pith
from tests.app.api_process import ApiProcess, running
from tests.app.by_hand import Bench
from tests.pages.browsing import OPERATOR
from tests.pages.made import submitted, succeeded


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    data = tmp_path_factory.mktemp("separate") / "data"
    with running(data, PITH_REQUIRE_KEYS=True, PITH_OPERATOR_KEY=OPERATOR) as process:
        yield process


def tenant(api: ApiProcess, name: str, **key: object) -> httpx.Client:
    with Pith(api.url, OPERATOR) as operator:
        project = operator.projects.create(NewProject(name=name))
        made = operator.keys.create(NewKey.model_validate({"name": name, "project": project.id, **key}))
    headers = {"Authorization": f"Bearer {made.secret}", "Accept": "text/html"}
    return httpx.Client(base_url=api.url, headers=headers, timeout=30)


@pytest.fixture(scope="module")
def owner(guarded: ApiProcess) -> Iterator[httpx.Client]:
    with tenant(guarded, "owner") as client:
        yield client


@pytest.fixture(scope="module")
def stranger(guarded: ApiProcess) -> Iterator[httpx.Client]:
    with tenant(guarded, "stranger") as client:
        yield client


@pytest.fixture(scope="module")
def job(guarded: ApiProcess, owner: httpx.Client) -> str:
    bench = Bench(guarded.data)
    model = owner.put("/v1/models", params={"name": "secret.pt2"}, content=os.urandom(64)).json()["id"]
    id = submitted(owner, model)
    succeeded(owner, bench, id)
    bench.db.close()
    return id


@pytest.mark.parametrize(
    "path", ["/jobs/{}", "/jobs/{}/now", "/jobs/{}/report", "/jobs/{}/report/framed", "/jobs/new?like={}"]
)
def test_another_project_s_job_is_not_there(owner: httpx.Client, stranger: httpx.Client, job: str, path: str) -> None:
    assert owner.get(path.format(job)).status_code == 200
    answer = stranger.get(path.format(job))
    assert answer.status_code == 404 and "secret" not in answer.text


def test_lists_and_comparisons_are_of_one_project(owner: httpx.Client, stranger: httpx.Client, job: str) -> None:
    spec = owner.get(f"/v1/jobs/{job}").json()["spec"]
    assert job in owner.get("/jobs").text
    for path in ("/jobs", f"/jobs?model={spec['model']}", "/jobs?part=table", "/compare", "/jobs/new"):
        answer = stranger.get(path)
        assert answer.status_code == 200 and job not in answer.text and "secret" not in answer.text
    compared = stranger.get("/compare", params={"job": [job]})
    assert f"There is no job called {job} here" in compared.text and "secret" not in compared.text


def test_another_project_s_model_cannot_be_planned_with(owner: httpx.Client, stranger: httpx.Client, job: str) -> None:
    model = owner.get(f"/v1/jobs/{job}").json()["spec"]["model"]
    answer = stranger.post("/jobs/new", data={"do": "preset:smaller", "/model": model})
    assert answer.status_code == 200 and "There is no model" in answer.text and "Can run" not in answer.text


def test_who_may_only_read_sees_no_buttons(guarded: ApiProcess) -> None:
    with tenant(guarded, "reader", scopes=[]) as reader:
        assert reader.get("/jobs").status_code == 200
        assert reader.get("/jobs/new").status_code == 403
        assert "New job" not in reader.get("/jobs").text


@pytest.mark.parametrize("path", ["/jobs", "/jobs/new", "/compare", "/jobs/job_00000000000000000000000000"])
def test_nobody_comes_in_without_a_key(guarded: ApiProcess, path: str) -> None:
    answer = httpx.get(guarded.url + path, headers={"Accept": "text/html"})
    assert answer.status_code == 401 and "key" in answer.text
