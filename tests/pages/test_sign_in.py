"""A service that asks for keys: its pages let in by a cookie, which no page of another site can use."""

from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect
from starlette.datastructures import Headers
from starlette.responses import Response

from app import cookie
from pith.access import NewKey, NewProject
from pith.client import Pith
from tests.app.api_process import ApiProcess
from tests.app.by_hand import Bench
from tests.pages.browsing import OPERATOR, Visits

PAGES = (
    "/",
    "/models",
    "/datasets",
    "/keys",
    "/webhooks",
    "/models/architectures",
    "/models/mdl_x",
    "/webhooks/whk_x",
    "/projects",
    "/import",
)
PAGE_OF_OURS = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def browser(guarded: ApiProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=guarded.url, timeout=30, headers={"Accept": "text/html"}) as client:
        yield client


def a_key(operator: Pith, *scopes: str, project: str | None = None) -> str:
    made = operator.keys.create(NewKey(name="it", scopes=scopes, project=project))  # type: ignore[arg-type]
    assert made.secret is not None
    return made.secret


def sign_in(browser: httpx.Client, key: str, next: str = "/") -> httpx.Response:
    answer = browser.post("/sign-in", data={"key": key, "next": next})
    if answer.status_code == 303:
        # The cookie is strict, which httpx does not know of; it sends it as a browser does for our own pages.
        assert browser.cookies.get(cookie.PLAIN) == key
    return answer


@pytest.mark.parametrize("path", PAGES)
def test_without_a_key_every_page_is_the_sign_in_page(browser: httpx.Client, path: str) -> None:
    answer = browser.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert "<h1>Sign in</h1>" in answer.text and f'value="{path}"' in answer.text
    assert browser.get(path, headers={"Accept": "application/problem+json"}).status_code in (401, 200)


def test_a_key_signs_in_and_leads_back(browser: httpx.Client, operator: Pith) -> None:
    answer = sign_in(browser, a_key(operator), "/models?status=ready")
    assert (answer.status_code, answer.headers["location"]) == (303, "/models?status=ready")
    kept = SimpleCookie(answer.headers["set-cookie"])[cookie.PLAIN]
    assert kept["httponly"] and kept["samesite"].lower() == "strict" and kept["path"] == "/" and not kept["domain"]
    assert browser.get("/models").status_code == 200
    assert browser.get("/v1/models").json()["data"] == []
    assert "Sign out" in browser.get("/").text


def test_who_comes_by_a_link_from_elsewhere_is_asked_again_by_our_own_page(browser: httpx.Client) -> None:
    """A browser keeps a strict cookie back then, and sends it when the page itself wants to be loaded anew."""
    assert 'http-equiv="refresh"' in browser.get("/models", headers={"Sec-Fetch-Site": "cross-site"}).text
    assert 'http-equiv="refresh"' not in browser.get("/models", headers={"Sec-Fetch-Site": "same-origin"}).text


def test_over_https_the_cookie_is_of_this_host_alone() -> None:
    answer = Response()
    cookie.keep(answer, "pith_x", "https")
    kept = SimpleCookie(answer.headers["set-cookie"])["__Host-pith"]
    assert kept["secure"] and kept["path"] == "/" and not kept["domain"]
    sent = Headers({"cookie": "pith=planted; __Host-pith=ours"})
    assert cookie.carried(sent, "https") == "ours"
    assert cookie.carried(Headers({"cookie": "pith=planted"}), "https") is None


@pytest.mark.parametrize("next", ["https://evil.example", "//evil.example", "/\\evil.example", "evil", "/\tx", "/a\nb"])
def test_nobody_is_led_elsewhere(browser: httpx.Client, operator: Pith, next: str) -> None:
    assert sign_in(browser, a_key(operator), next).headers["location"] == "/"


@pytest.mark.parametrize("key", ["", "pith_nothing", "kein schlüssel", "<script>alert(1)</script>", "a\nb"])
def test_a_wrong_key_is_refused_in_words(browser: httpx.Client, key: str) -> None:
    answer = browser.post("/sign-in", data={"key": key})
    assert answer.status_code == 401 and "Sign in" in answer.text and "<script>alert" not in answer.text
    assert "signed out" not in answer.text, "who was never in"
    assert not browser.cookies.get(cookie.PLAIN)


def test_a_revoked_key_signs_out_and_says_why(browser: httpx.Client, operator: Pith) -> None:
    key = a_key(operator)
    sign_in(browser, key)
    revoked = next(each for each in operator.keys.list() if key.startswith(each.begins))
    operator.keys.revoke(revoked.id)
    answer = browser.get("/models")
    assert answer.status_code == 401 and "was revoked on" in answer.text and "You are signed out" in answer.text
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert browser.get("/v1/models").status_code == 401


def test_signing_out_forgets_the_key(browser: httpx.Client, operator: Pith) -> None:
    sign_in(browser, a_key(operator))
    answer = browser.post("/sign-out", headers=PAGE_OF_OURS)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert browser.get("/models").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
    ids=str,
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/keys"), ("PUT", "/v1/models"), ("DELETE", "/v1/models/x")])
def test_what_the_cookie_lets_in_must_come_from_our_pages(
    browser: httpx.Client, headers: dict[str, str], method: str, path: str
) -> None:
    sign_in(browser, OPERATOR)
    refused = browser.request(method, path, headers=headers, content=b"{}")
    assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")


def test_our_pages_write_with_the_cookie_and_a_header_goes_before_it(
    browser: httpx.Client, guarded: ApiProcess, operator: Pith
) -> None:
    sign_in(browser, a_key(operator, "upload"))
    assert browser.put("/v1/models", content=b"x", headers={"Origin": guarded.url}).status_code == 201
    assert browser.put("/v1/models", content=b"y", headers=PAGE_OF_OURS).status_code == 201
    by_header = {"Authorization": "Bearer nonsense", **PAGE_OF_OURS}
    assert browser.put("/v1/models", content=b"z", headers=by_header).status_code == 401


def test_what_a_key_may_not_do_is_not_offered_and_refused(browser: httpx.Client, operator: Pith) -> None:
    sign_in(browser, a_key(operator))
    for path in ("/", "/models", "/datasets"):
        text = browser.get(path).text
        assert not [
            word for word in ("New job", "/keys", "/webhooks", "Choose", 'id="upload"', "example") if word in text
        ]
    for path in ("/keys", "/webhooks"):
        refused = browser.get(path)
        assert refused.status_code == 403 and "admin" in refused.text
    assert browser.put("/v1/models", content=b"x", headers=PAGE_OF_OURS).status_code == 403


def test_no_page_shows_anything_of_another_project(browser: httpx.Client, guarded: ApiProcess, operator: Pith) -> None:
    """The cross-tenant test of the API, for the pages: another's ids are as ids that are not there, and no list, graph
    or number tells of them."""
    bench = Bench(guarded.data)
    mine, theirs = (operator.projects.create(NewProject(name=name)).id for name in ("mine", "zebra"))
    scopes = ("upload", "jobs", "delete", "admin")
    with httpx.Client(
        base_url=guarded.url, headers={"Authorization": f"Bearer {a_key(operator, *scopes, project=theirs)}"}
    ) as their:
        model = their.put("/v1/models?name=zebra-model", content=b"the same bytes").json()["id"]
        dataset = their.put("/v1/datasets?name=zebra-data", content=b"of theirs").json()["id"]
        webhook = their.post("/v1/webhooks", json={"url": "https://zebra.example/", "name": "zebra-hook"}).json()["id"]
        bench.learn_all()
        job = their.post("/v1/jobs", json={"model": model, "recipe": [{"kind": "quantize.dynamic"}]}).json()["id"]
        bench.succeed(job, bench.start(job), model_pt2=b"the same result", report_json=b"{}")
        their.post("/v1/uploads?name=zebra-upload", headers={"Upload-Length": "10", "Tus-Resumable": "1.0.0"})
    sign_in(browser, a_key(operator, *scopes, project=mine))
    # A model with the bytes of their result, and a result with the bytes of their model: no graph may join them.
    own = browser.put("/v1/models?name=mine", content=b"the same result", headers=PAGE_OF_OURS).json()["id"]
    spec = {"model": own, "recipe": [{"kind": "quantize.dynamic"}]}
    made = browser.post("/v1/jobs", json=spec, headers=PAGE_OF_OURS).json()["id"]
    bench.succeed(made, bench.start(made), model_pt2=b"the same bytes", report_json=b"{}")
    bench.db.close()
    assert made in browser.get(f"/models/{own}").text
    for path in ("/", "/models", "/datasets", "/keys", "/webhooks", f"/models/{own}"):
        text = browser.get(path).text
        assert not [word for word in ("zebra", theirs, model, dataset, webhook, job) if word in text], path
    for listing, id in (("models", model), ("datasets", dataset), ("webhooks", webhook)):
        answer, nothing = (browser.get(f"/{listing}/{each}") for each in (id, id[:-4] + "0000"))
        assert answer.status_code == nothing.status_code == 404
        assert answer.text.replace(id, "") == nothing.text.replace(id[:-4] + "0000", "")


def test_the_way_in_and_out_in_a_browser(visits: Visits, guarded: ApiProcess, operator: Pith) -> None:
    key = a_key(operator, "upload", "admin")
    with visits.of(guarded.url, "phone") as visit:
        page = visit.to("/models")
        visit.holds("sign-in")
        page.get_by_label("Key").fill("pith_wrong")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("is none of this service's keys").wait_for()
        page.get_by_label("Key").fill(key)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Models").wait_for()
        page.goto("/keys")
        page.get_by_label("Name").fill("from a page")
        page.get_by_role("button", name="Make it").click()
        secret = page.get_by_role("dialog").locator("pre").inner_text()
        told = httpx.get(f"{guarded.url}/v1/me", headers={"Authorization": f"Bearer {secret}"})
        assert told.json()["name"] == "from a page"
        visit.picture("secret")
        page.get_by_role("button", name="I have it").click()
        page.get_by_role("rowheader", name="from a page").wait_for()
        assert secret not in page.content()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("heading", name="Sign in").wait_for()
        assert page.context.cookies() == []
        # A page that is refused is told by the browser as well; nothing else may be.
        assert [said for said in visit.complaints if "401" not in said] == []


def test_on_loopback_there_is_no_sign_in(http: httpx.Client) -> None:
    answer = http.get("/sign-in")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "Sign out" not in http.get("/").text


def test_who_watches_a_job_is_told_that_the_key_is_revoked(
    visits: Visits, guarded: ApiProcess, operator: Pith, tmp_path: Path
) -> None:
    (tmp_path / "model.pt2").write_bytes(b"none")
    model = operator.models.upload(tmp_path / "model.pt2")
    key = a_key(operator)
    with visits.of(guarded.url, "desktop") as visit:
        page = visit.to(f"/jobs/{model.check}")
        page.get_by_label("Key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("#log")).to_contain_text("queued")
        revoked = next(each for each in operator.keys.list() if key.startswith(each.begins))
        operator.keys.revoke(revoked.id)
        expect(page.locator("p[role=alert]")).to_contain_text("was revoked on", timeout=30_000)
        visit.complaints.clear()  # the browser says that it was not let in
