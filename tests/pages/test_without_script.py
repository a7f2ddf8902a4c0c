"""The pages where no script runs: all are read, and what then cannot be done says so, and how else it is done."""

import os
import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import expect

from pith.presets import PRESETS
from tests.app.api_process import ApiProcess
from tests.app.by_hand import Bench
from tests.pages.browsing import OPERATOR, Visit, Visits
from tests.pages.made import submitted, succeeded


@pytest.fixture(scope="module")
def made(guarded: ApiProcess) -> dict[str, str]:
    """A model, a dataset and two jobs that have succeeded."""
    bench = Bench(guarded.data)
    with httpx.Client(base_url=guarded.url, headers={"Authorization": f"Bearer {OPERATOR}"}, timeout=30) as http:
        model = http.put("/v1/models", params={"name": "read.pt2"}, content=os.urandom(64)).json()["id"]
        dataset = http.put("/v1/datasets", params={"name": "read.npz"}, content=os.urandom(64)).json()["id"]
        bench.learn_all()
        first, second = submitted(http, model), submitted(http, model)
        for job in (first, second):
            succeeded(http, bench, job)
    bench.db.close()
    return {"model": model, "dataset": dataset, "job": first, "other": second}


@pytest.fixture
def plain(visits: Visits, guarded: ApiProcess) -> Iterator[Visit]:
    """Signed in by its form, where no script runs."""
    with visits.of(guarded.url, "phone", java_script_enabled=False) as visit:
        page = visit.to("/models")
        page.get_by_label("Key").fill(OPERATOR)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Models")
        visit.complaints.clear()  # of the answer 401, which is the page to sign in
        yield visit
    assert visit.complaints == []


def test_every_page_is_read(plain: Visit, made: dict[str, str]) -> None:
    job = made["job"]
    for path, words in {
        "/": "Queue",
        "/models": "read.pt2",
        f"/models/{made['model']}": "Layer map",
        "/datasets": "read.npz",
        f"/datasets/{made['dataset']}": "Columns",
        "/jobs": "quantize.weight_only",
        f"/jobs/{job}": "succeeded",
        f"/jobs/{job}/report": "Report",
        f"/compare?job={job}&job={made['other']}": "Compare 2 results",
        "/jobs/new": "Begin with an aim",
        "/webhooks": "Webhooks",
        "/keys": "Keys",
    }.items():
        page = plain.to(path)
        expect(page.locator("main")).to_contain_text(words, ignore_case=True)
        assert plain.fits(), path
    plain.to(f"/jobs/{job}/report")
    expect(plain.page.frame_locator("iframe").get_by_role("heading")).to_have_text("Report")


def test_a_job_is_put_together_and_sent_by_the_line_that_is_shown(
    plain: Visit, guarded: ApiProcess, made: dict[str, str]
) -> None:
    page = plain.to(f"/jobs/new?model={made['model']}")
    page.get_by_role("button", name=PRESETS[0].aim).click()
    expect(page.locator("#sending")).to_contain_text("Can run")
    page.get_by_text("3 options").click()
    page.get_by_label("Bits").select_option("4")
    page.get_by_role("button", name="Dry run").click()
    told = page.locator("#sending noscript p")
    expect(told).to_contain_text("Sending from this page needs JavaScript")
    expect(told).to_be_visible()
    expect(page.get_by_role("button", name="Send the job")).to_be_hidden()
    page.get_by_text("The same with curl or Python").click()
    line = page.locator("#curl").inner_text()
    assert "$PITH_API_KEY" in line
    spec = re.search(r"-d '(.*)'", line, re.DOTALL)
    assert spec is not None
    headers = {"Authorization": f"Bearer {OPERATOR}", "Content-Type": "application/json"}
    sent = httpx.post(f"{guarded.url}/v1/jobs", content=spec[1], headers=headers)
    assert sent.status_code == 202 and sent.json()["spec"]["recipe"][0]["bits"] == 4


@pytest.mark.parametrize("what", ["models", "datasets"])
def test_an_upload_says_what_it_needs(plain: Visit, what: str) -> None:
    page = plain.to(f"/{what}")
    expect(page.locator("#upload noscript p")).to_contain_text(f"curl -T FILE SERVICE/v1/{what}")


def test_whoever_is_in_can_leave(plain: Visit) -> None:
    plain.page.get_by_role("button", name="Sign out").click()
    expect(plain.page.get_by_role("heading", level=1)).to_have_text("Sign in")
