"""Projects and their quotas, who is signed in, imports, and the way back from the routes."""

import os

import httpx
import pytest
from playwright.sync_api import expect

from pith.access import NewKey, NewProject, Quotas
from pith.client import Pith
from tests.app.api_process import ApiProcess
from tests.pages.browsing import OPERATOR, Visit, Visits

expect.set_options(timeout=30_000)


def signed_in(visit: Visit, path: str, key: str) -> None:
    visit.to(path)
    visit.page.get_by_label("Key").fill(key)
    visit.page.keyboard.press("Enter")
    visit.page.locator(".who").wait_for()
    visit.complaints.clear()  # that it was not let in at first


@pytest.mark.parametrize("width", ["desktop", "phone"])
def test_a_project_shows_what_it_uses_and_who_is_signed_in(
    visits: Visits, guarded: ApiProcess, operator: Pith, width: str
) -> None:
    quotas = Quotas(storage_bytes=1000, jobs_at_once=2)
    project = operator.projects.create(NewProject(name="<b>vision", quotas=quotas))
    key = operator.keys.create(NewKey(name="ci <i>", scopes=("upload",), project=project.id))
    assert key.secret is not None
    headers = {"Authorization": f"Bearer {key.secret}"}
    httpx.put(f"{guarded.url}/v1/models", content=os.urandom(250), headers=headers)
    with visits.of(guarded.url, width) as visit:  # type: ignore[arg-type]
        signed_in(visit, "/", key.secret)
        page = visit.page
        expect(page.locator(".who")).to_contain_text("ci <i>")
        expect(page.locator(".who")).to_contain_text("<b>vision")
        page.locator(".who").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("<b>vision")
        expect(page.get_by_role("row", name="Stored")).to_contain_text("250 bytes")
        expect(page.get_by_role("row", name="Stored")).to_contain_text("1 kB")
        expect(page.get_by_role("row", name="Requests a minute")).to_contain_text("no limit")
        expect(page.get_by_role("region", name="You")).to_contain_text("bring models and datasets")
        expect(page.get_by_role("button", name="Save")).to_have_count(0)
        visit.holds("project")
        assert visit.complaints == []


def test_another_s_project_is_not_there(guarded: ApiProcess, operator: Pith) -> None:
    mine, other = (operator.projects.create(NewProject(name=name)) for name in ("mine", "other"))
    secret = operator.keys.create(NewKey(name="k", project=mine.id)).secret
    headers = {"Accept": "text/html", "Authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=guarded.url, headers=headers) as http:
        assert http.get(f"/projects/{mine.id}").status_code == 200
        assert http.get(f"/projects/{other.id}").status_code == 404
        assert http.get("/projects").headers["location"] == f"/projects/{mine.id}"
        assert http.get("/projects/..%00").status_code == 404
    headers["Authorization"] = f"Bearer {OPERATOR}"
    assert httpx.get(f"{guarded.url}/projects/prj_x", headers=headers).status_code == 404
    assert httpx.get(f"{guarded.url}/projects/{other.id}", headers=headers).status_code == 200


def test_who_operates_makes_a_project_and_sets_its_quotas(visits: Visits, guarded: ApiProcess, operator: Pith) -> None:
    with visits.of(guarded.url, "desktop") as visit:
        signed_in(visit, "/projects", OPERATOR)
        page = visit.page
        page.get_by_label("Name").fill("made here")
        page.get_by_label("Jobs that run at once").fill("3")
        visit.holds("projects")
        page.get_by_role("button", name="Make it").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("made here")
        made = page.url.rpartition("/")[2]
        assert operator.projects.get(made).quotas == Quotas(jobs_at_once=3)
        page.get_by_label("Jobs that run at once").fill("")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("row", name="Jobs that run at once")).to_contain_text("no limit")
        assert operator.projects.get(made).quotas == Quotas()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
        page.wait_for_url("**/projects")
        assert visit.complaints == []


def test_a_model_and_a_dataset_are_imported(visit: Visit, http: httpx.Client) -> None:
    page = visit.to("/import")
    visit.holds("import")
    model, dataset = page.get_by_role("region", name="A model"), page.get_by_role("region", name="A dataset")
    model.get_by_label("Where it is").fill("ftp://example.org/net.pt2")
    model.get_by_role("button", name="Import the model").click()
    expect(model.locator(".wrong")).to_contain_text("should be https://HOST/PATH")
    visit.complaints.clear()  # the answer that was wanted
    model.get_by_label("Where it is").fill("https://example.org/net.safetensors")
    model.get_by_text("It is weights without a graph").click()
    model.get_by_label("Architecture").fill("pith/resnet20")
    model.get_by_label("Its arguments").fill('{"num_classes": 10}')
    model.get_by_role("button", name="Import the model").click()
    page.wait_for_url("**/models/mdl_*")
    made = http.get(f"/v1/models/{page.url.rpartition('/')[2]}").json()
    assert (made["source"]["uri"], made["architecture"]["name"]) == (
        "https://example.org/net.safetensors",
        "pith/resnet20",
    )
    page.goto("/import")
    dataset.get_by_label("Where it is").fill("s3://data/adult.csv")
    dataset.get_by_label("What the file does not say").fill('{"label": "income"}')
    dataset.get_by_role("button", name="Import the dataset").click()
    page.wait_for_url("**/datasets/dts_*")
    made = http.get(f"/v1/datasets/{page.url.rpartition('/')[2]}").json()
    assert made["declared"]["label"] == "income"
    for noun in ("models", "datasets"):
        for each in http.get(f"/v1/{noun}").json()["data"]:
            if each["name"] in ("net.safetensors", "adult.csv"):
                http.delete(f"/v1/{noun}/{each['id']}")


def test_the_routes_lead_back(visit: Visit) -> None:
    page = visit.to("/docs")
    page.get_by_text("All routes").click()
    page.get_by_role("link", name="POST /v1/models", exact=True).click()
    expect(page.get_by_role("heading", name="POST /v1/models", exact=True)).to_be_in_viewport()
    visit.page.get_by_text("All routes").click()
    assert visit.fits() and visit.audit() == []
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
