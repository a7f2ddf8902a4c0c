"""What all pages have in common: their files, their headers, their frame."""

import gzip
import hashlib
import tomllib

import httpx
import pytest

from app.pages import static
from tests.pages.browsing import Visit

VENDOR = static.FOLDER / "vendor"


def test_what_others_wrote_is_as_they_published_it() -> None:
    sums = dict(reversed(line.split()) for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in VENDOR.iterdir()}
    del found["SHA256SUMS"]
    assert found == sums
    scripts = {name.split("-")[0] for name in sums if name.endswith((".js", ".css"))}
    assert {name for name in scripts if f"{name}.LICENSE.txt" not in sums} == set()


def test_an_installed_service_has_all_of_them() -> None:
    """Also the templates and the example."""
    package = static.FOLDER.parent
    project = tomllib.loads((package.parent / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["app"]
    packed = {file for pattern in patterns for file in package.glob(pattern)}
    there = {file for file in package.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")}
    assert there == {file for file in packed if file.is_file()}


@pytest.mark.parametrize("name", sorted(static.names()))
def test_a_file_of_the_pages_is_kept_for_good(http: httpx.Client, name: str) -> None:
    sent = http.get(static.address(name))
    assert (sent.status_code, sent.content) == (200, static.content(name))
    assert sent.headers["cache-control"] == static.KEPT
    assert sent.headers["x-content-type-options"] == "nosniff"
    kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "txt": "text/plain"}
    assert sent.headers["content-type"].split(";")[0] == kind[name.rpartition(".")[2]]
    again = http.get(static.address(name), headers={"If-None-Match": sent.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_it_is_sent_packed_to_who_takes_it(http: httpx.Client) -> None:
    with http.stream("GET", static.address("pith.css"), headers={"Accept-Encoding": "gzip"}) as sent:
        raw = b"".join(sent.iter_raw())
    assert sent.headers["content-encoding"] == "gzip" and gzip.decompress(raw) == static.content("pith.css")
    plain = http.get(static.address("pith.css"), headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.content == static.content("pith.css")


def test_a_file_of_another_version_is_not_kept(http: httpx.Client) -> None:
    sent = http.get("/static/0123456789abcdef/pith.css")
    assert (sent.status_code, sent.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize("name", ["nothing.css", "../render.py", "..%2frender.py", "vendor/SHA256SUMS", "vendor", ""])
def test_nothing_else_is_sent(http: httpx.Client, name: str) -> None:
    assert http.get(f"/static/{static.digest()}/{name}").status_code == 404


def test_a_long_page_is_sent_packed(http: httpx.Client) -> None:
    with http.stream("GET", "/webhooks", headers={"Accept-Encoding": "gzip"}) as packed:
        raw = b"".join(packed.iter_raw())
    plain = http.get("/webhooks", headers={"Accept-Encoding": "identity"})
    assert gzip.decompress(raw) == plain.content and len(raw) < len(plain.content) / 2
    assert plain.headers["vary"] == "Accept-Encoding"


def test_pages_run_no_script_but_ours(http: httpx.Client) -> None:
    page = http.get("/")
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert (policy["script-src"], policy["style-src"], policy["connect-src"]) == ("'self'",) * 3
    assert (policy["frame-ancestors"], policy["base-uri"], policy["form-action"]) == ("'none'", "'none'", "'self'")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert "<style" not in page.text and " style=" not in page.text


def test_an_error_is_a_page_for_a_browser_and_json_for_a_program(http: httpx.Client) -> None:
    page = http.get("/nothing/%3Cscript%3E")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "/nothing/&lt;script&gt;" in page.text and "<script>" not in page.text
    for accept in ("*/*", "application/json", "application/problem+json"):
        told = http.get("/nothing", headers={"Accept": accept})
        assert told.headers["content-type"] == "application/problem+json"
    assert http.get("/v1/nothing").headers["content-type"] == "application/problem+json"


MISSING = {
    "/jobs?status=bogus": (422, "“status” cannot be “bogus”.", "/jobs"),
    "/jobs?what=1&what=2": (422, "“what” means nothing on this page.", "/jobs"),
    "/jobs?cursor=x": (400, "place in the list that is not there", "/jobs"),
    "/jobs/job_x": (404, "There is no job called job_x here.", "/jobs"),
    f"/jobs/job_{'0' * 26}/report": (404, "There is no job called job_0", "/jobs"),
    "/models/mdl_x": (404, "There is no model called mdl_x here.", "/models"),
    "/datasets/dts_x": (404, "There is no dataset called dts_x here.", "/datasets"),
    "/webhooks/whk_%3Cb%3E": (404, "There is no webhook called whk_&lt;b&gt; here.", "/webhooks"),
    "/models?status=%3Cb%3E": (422, "“status” cannot be “&lt;b&gt;”.", "/models"),
    "/nothing/at/all": (404, "Nothing is at /nothing/at/all.", "/"),
}


@pytest.mark.parametrize("path", MISSING)
def test_what_is_not_there_is_told_for_people_with_a_way_on(http: httpx.Client, path: str) -> None:
    status, says, leads = MISSING[path]
    answer = http.get(path)
    main = answer.text.partition("<main")[2].partition("</main>")[0]
    assert answer.status_code == status and says in main and f'href="{leads}"' in main
    assert "/v1/" not in main and "GET" not in main and "literal" not in main and "/query" not in main


def test_the_refusal(visit: Visit) -> None:
    visit.to("/jobs/job_x")
    visit.complaints.clear()  # that it is a 404
    visit.holds("refusal")


def test_the_frame(visit: Visit) -> None:
    page = visit.to("/")
    assert page.title() == "Overview · Pith"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.get_by_role("link", name="Overview").get_attribute("aria-current") == "page"
    visit.holds("overview-empty")
