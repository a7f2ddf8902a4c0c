"""One file over a real socket: what is gone on with, what is begun anew, and what is given up."""

from collections.abc import Iterator

import pytest

from pith.errors import PithError
from store.reach import Reach
from tests.web import OK, Conversation, Handler, Web, breaking, file, first, serving
from worker.imports import fetch
from worker.imports.fetch import Anew, Fetcher, File
from worker.imports.patience import Patience, Unwanted
from worker.outward import Outward

DATA = bytes(range(256)) * 40


class Kept:
    def __init__(self) -> None:
        self.data = b""

    def expect(self, size: int) -> None:
        """Anything goes."""

    def write(self, data: bytes) -> None:
        self.data += data


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "FIRST_PAUSE", 0.01)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as web:
        yield web


def take(web: Web, *handlers: Handler, idle: float = 60.0, size: int | None = None) -> bytes:
    web.pages["/file"] = first(*handlers)
    patience = Patience(lambda: False, 60.0, idle)
    kept = Kept()
    with Outward(Reach.of(("*",), ("127.0.0.1",)), watch=patience) as outward:
        fetcher = Fetcher(outward, patience, lambda message: None, "/v1/models/mdl_x/check")
        fetcher.fetch(File("file", f"{web.url}/file", size), kept)
    return kept.data


def part(data: bytes, start: int, total: int | str, etag: str = '"one"') -> Handler:
    line = f"Content-Range: bytes {start}-{start + len(data) - 1}/{total}"
    return lambda one: one.give(data, line, f"ETag: {etag}", status="206 Partial Content")


BROKEN = breaking(DATA, 1000, 'ETag: "one"')


def test_it_goes_on_by_an_etag_or_a_date(web: Web) -> None:
    assert take(web, BROKEN, part(DATA[1000:], 1000, len(DATA))) == DATA
    assert (web.asked[1].headers["range"], web.asked[1].headers["if-range"]) == ("bytes=1000-", '"one"')
    date = "Sun, 22 Nov 2026 02:00:00 GMT"
    dated = breaking(DATA, 1000, f"Last-Modified: {date}", 'ETag: W/"weak"')
    assert take(web, dated, part(DATA[1000:], 1000, "*", 'W/"weak"')) == DATA
    assert web.asked[-1].headers["if-range"] == date


def test_a_server_without_ranges_sends_all_and_what_is_known_is_skipped(web: Web) -> None:
    assert take(web, BROKEN, lambda one: one.give(DATA, 'ETag: "one"')) == DATA


@pytest.mark.parametrize(
    "then",
    [
        part(DATA[1001:], 1001, len(DATA)),
        part(DATA[1000:], 1000, len(DATA) + 1),
        part(DATA[1000:], 1000, len(DATA), '"two"'),
        lambda one: one.give(DATA[1000:], 'ETag: "one"', status="206 Partial Content"),
        lambda one: one.give(DATA[::-1], 'ETag: "two"'),
        lambda one: one.give(DATA[:-1], 'ETag: "one"'),
        lambda one: one.give(b"", status="416 Range Not Satisfiable"),
    ],
)
def test_what_may_be_another_file_is_not_put_together(web: Web, then: Handler) -> None:
    with pytest.raises(Anew, match="not the same any more"):
        take(web, BROKEN, then)


def test_a_weak_etag_alone_is_no_proof(web: Web) -> None:
    with pytest.raises(Anew, match="does not say"):
        take(web, breaking(DATA, 1000, 'ETag: W/"one"'), file(DATA))


def dripping(one: Conversation) -> None:
    one.say(f'{OK}Content-Length: 100000\r\nETag: "one"\r\n\r\n')
    while not one.over.wait(0.02):
        one.say("x")


def silent(one: Conversation) -> None:
    one.over.wait()


def slow_headers(one: Conversation) -> None:
    one.say(OK)
    while not one.over.wait(0.02):
        one.say("A: b\r\n")


@pytest.mark.parametrize("how", [dripping, silent, slow_headers])
def test_a_server_that_stalls_is_given_up(web: Web, how: Handler) -> None:
    with pytest.raises(PithError, match=r"next to nothing for 0\.2 seconds, 6 times in a row") as refusal:
        take(web, how, idle=0.2)
    assert refusal.value.code == "import_failed"


def test_a_pause_that_the_server_wants_is_kept(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(Patience, "pause", lambda self, seconds: pauses.append(seconds))
    busy = [
        lambda one, after=after: one.give(b"", f"Retry-After: {after}", status="429 Slow down") for after in (7, 9999)
    ]
    assert take(web, *busy, lambda one: one.give(b"", status="503 x"), file(DATA)) == DATA
    assert pauses == [7, fetch.LONGEST_PAUSE, 0.04]


def test_more_than_a_listing_says_is_refused(web: Web) -> None:
    with pytest.raises(PithError, match="more than the 3 bytes"):
        take(web, file(DATA), size=3)


def test_nobody_waits_for_what_is_not_wanted(web: Web) -> None:
    web.pages["/file"] = silent
    patience = Patience(lambda: bool(web.asked), 60.0)
    with Outward(Reach.of(("*",), ("127.0.0.1",)), watch=patience) as outward, pytest.raises(Unwanted):
        Fetcher(outward, patience, lambda message: None, "").fetch(File("x", f"{web.url}/file"), Kept())
