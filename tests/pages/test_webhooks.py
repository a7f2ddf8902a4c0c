"""Webhooks from the pages: refused where they lead nowhere, tried, rotated, and really brought by a courier."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect
from standardwebhooks.webhooks import Webhook as Verifier

from pith.webhooks import NewWebhook
from store.webhooks import Outbox, Webhooks
from tests.app.api_process import ApiProcess, environment, running
from tests.app.by_hand import Bench
from tests.pages.browsing import Visit, Visits
from tests.receiver import Receiver

expect.set_options(timeout=30_000)
PRIVATE = {"PITH_PRIVATE_HOSTS": "127.0.0.1"}


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """A service that may send messages to this machine, and its courier."""
    data = tmp_path_factory.mktemp("hooks") / "data"
    with running(data, **PRIVATE) as api:
        command = [sys.executable, "-m", "worker.courier"]
        courier = subprocess.Popen(command, env=environment(data, **PRIVATE), stderr=subprocess.DEVNULL)
        yield api
        courier.terminate()
        courier.wait(30)


@pytest.fixture
def other() -> Iterator[Receiver]:
    with Receiver().serving() as other:
        yield other


@pytest.fixture
def within(visits: Visits, inside: ApiProcess) -> Iterator[Visit]:
    with visits.of(inside.url, "desktop") as visit:
        yield visit
    assert visit.complaints == []


def verified(secret: str, other: Receiver, number: int) -> Any:
    headers, body = other.got[number]
    return Verifier(secret).verify(body, headers)


def test_an_address_that_leads_nowhere_is_refused_at_its_field(desk: Visit) -> None:
    page = desk.to("/webhooks")
    page.get_by_label("Address").fill("http://127.0.0.1:9/hook")
    page.get_by_role("button", name="Make it").click()
    expect(page.locator(".field .wrong")).to_contain_text("No request is sent to 127.0.0.1: only https is spoken")
    desk.complaints.clear()  # the answer that was wanted


@pytest.mark.parametrize("url", ["http://example.org/", "https://10.0.0.1/", "https://localhost/"])
def test_neither_made_nor_changed_to_one(http: httpx.Client, url: str) -> None:
    answer = http.post("/v1/webhooks", json={"url": url})
    assert (answer.status_code, answer.json()["code"]) == (400, "address_refused")
    assert answer.json()["errors"][0]["pointer"] == "/url"
    made = http.post("/v1/webhooks", json={"url": "https://example.org/hook"}).json()["id"]
    assert http.patch(f"/v1/webhooks/{made}", json={"url": url}).json()["code"] == "address_refused"
    assert http.patch(f"/v1/webhooks/{made}", json={"enabled": False}).status_code == 200


def test_it_is_made_tried_and_rotated_in_a_browser(within: Visit, other: Receiver) -> None:
    page = within.to("/webhooks")
    page.get_by_label("Name", exact=True).fill("mine")
    page.get_by_label("Address").fill(other.url)
    page.get_by_role("button", name="Make it").click()
    first = page.locator("#secret").text_content() or ""
    page.get_by_role("button", name="I have it").click()
    page.get_by_role("link", name="mine").click()
    page.get_by_role("button", name="Send a test").click()
    expect(page.locator("#messages .state")).to_have_text(["delivered"])
    assert verified(first, other, 0)["type"] == "webhook.test"
    page.get_by_role("button", name="Rotate the secret").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    second = page.locator("#secret").text_content() or ""
    assert second.startswith("whsec_") and second != first
    page.get_by_role("button", name="I have it").click()
    page.get_by_role("button", name="Send a test").click()
    expect(page.locator("#messages .state")).to_have_text(["delivered", "delivered"])
    assert verified(first, other, 1) == verified(second, other, 1), "for a day both sign"


def test_a_failure_shows_by_itself_with_its_reason(within: Visit, inside: ApiProcess, other: Receiver) -> None:
    made = httpx.post(f"{inside.url}/v1/webhooks", json={"url": other.url, "name": "ill"}).json()["id"]
    other.answers = [500]
    page = within.to(f"/webhooks/{made}")
    page.get_by_role("button", name="Send a test").click()
    expect(page.locator("#messages tbody tr")).to_contain_text("failed, goes again")
    expect(page.locator("#messages tbody tr")).to_contain_text("500 it answered 500")
    page.get_by_role("link", name="Webhooks").first.click()
    expect(page.get_by_role("row", name="ill")).to_contain_text("1 failed in a row")
    within.picture("webhooks-failing")


def test_how_many_have_failed_since_one_arrived(http: httpx.Client, bench: Bench) -> None:
    webhooks, outbox = Webhooks(bench.db), Outbox(bench.db)
    made = webhooks.create(NewWebhook(url="https://example.org/hook", name="counted")).id

    def sent(arrives: bool) -> None:
        webhooks.test(made)
        for message in outbox.take(100):
            outbox.delivered(message, 200) if arrives else outbox.failed(message, 503, "it answered 503")

    assert webhooks.get(made).last_delivery is None
    for arrives, failing in ((False, 1), (False, 2), (True, 0), (False, 1)):
        sent(arrives)
        assert webhooks.get(made).failing == failing
    told = next(each for each in http.get("/v1/webhooks").json()["data"] if each["id"] == made)
    assert (told["failing"], told["last_delivery"]["last_error"]) == (1, "it answered 503")
    text = http.get(f"/webhooks/{made}").text
    assert "1 message has failed" in text and "it answered 503" in text
    webhooks.delete(made)
