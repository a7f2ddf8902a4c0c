"""The whole road of somebody with a browser alone, on a service with a worker: from files to a smaller model."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from app.offered import FOLDER
from pith.presets import PRESETS
from tests.app.embedded import Up, up
from tests.pages.browsing import Visit, Visits
from tests.waiting import eventually

LONG = 300_000
expect.set_options(timeout=30_000)
SMALLER, FASTER = PRESETS[0], PRESETS[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("flow") / "data", PITH_THREADS=1) as service:
        eventually(service.ready)
        eventually(lambda: httpx.get(f"{service.url}/readyz").json()["status"] == "ok")
        yield service
        service.process.terminate()
        assert service.process.wait(60) == 0, service.log.read_text()


@pytest.fixture(params=["desktop", "phone"])
def visit(request: pytest.FixtureRequest, visits: Visits, whole: Up) -> Iterator[Visit]:
    with visits.of(whole.url, request.param) as visit:
        yield visit
    assert visit.complaints == []


def test_from_files_to_a_smaller_model(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    name = f"digits on a {visit.width}"
    uploaded(visit, "models", FOLDER / "model.pt2", tmp_path / f"{name}.pt2")
    page.get_by_role("link", name="Compress it").click()
    page.get_by_role("button", name=SMALLER.aim).click()
    first = sent(page)
    ended(page)
    visit.holds("flow-succeeded")
    uploaded(visit, "datasets", FOLDER / "dataset.npz", tmp_path / f"{name}.npz")
    page.get_by_role("link", name="Use it in a job").click()
    expect(page.locator("#f-model option:checked")).to_contain_text(name)
    page.get_by_role("button", name=FASTER.aim).click()
    page.get_by_label("max metric drop").fill("0.5")
    expect(page.locator("#json")).to_have_value(re.compile("max_metric_drop"))
    presets_can_run(page)
    second = sent(page)
    expect(page.locator("#curves figcaption").first).to_contain_text("loss", timeout=LONG)
    visit.picture("flow-running")
    ended(page)
    page.get_by_role("link", name="Report", exact=True).click()
    expect(page.frame_locator("iframe").locator("body")).to_contain_text("times smaller")
    visit.picture("flow-report")
    page.goto("/jobs")
    page.locator(f"#pick-{first}").check()
    page.locator(f"#pick-{second}").check()
    page.get_by_role("button", name="Compare the marked ones").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare 2 results")
    expect(page.get_by_role("row", name="Size").first).to_contain_text("best")
    visit.holds("flow-compare")
    page.goto(f"/jobs/{second}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download model.onnx").click()
    listed = {each["name"]: each for each in httpx.get(f"{page.url.replace('/jobs', '/v1/jobs')}").json()["artifacts"]}
    assert (
        download.value.path().stat().st_size
        == listed["model.onnx"]["size_bytes"]
        < (FOLDER / "model.pt2").stat().st_size
    )


def uploaded(visit: Visit, what: str, file: Path, named: Path) -> None:
    """Bytes of its own, so that both widths begin with nothing."""
    named.write_bytes(file.read_bytes())
    page = visit.to(f"/{what}")
    page.get_by_label("Files").set_input_files(named)
    page.get_by_role("list", name="Transfers").get_by_role("link", name="Open").click()
    expect(page.get_by_role("link", name=re.compile("Compress it|Use it in a job"))).to_be_visible(timeout=LONG)


def presets_can_run(page: Page) -> None:
    """On the model and the dataset that are picked."""
    picked = json.loads(page.locator("#json").input_value())
    dry_run = page.url.partition("/jobs")[0] + "/v1/jobs?dry_run=true"
    for preset in PRESETS:
        plan = httpx.post(dry_run, json={"model": picked["model"], "dataset": picked["dataset"], **preset.part}).json()
        assert plan["possible"], (preset.name, plan)


def sent(page: Page) -> str:
    expect(page.locator("#sending")).to_contain_text("Can run")
    page.get_by_role("button", name="Send the job").click()
    page.wait_for_url(re.compile(r"/jobs/job_\w+$"))
    return page.url.rpartition("/")[2]


def ended(page: Page) -> None:
    expect(page.locator(".head .state").first).to_have_text("succeeded", timeout=LONG)
