"""A job's history: pages, and live streams that resume, wait for nobody and end with the job."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from pith.client import Pith
from pith.job import Event
from pith.sse import Message, messages
from tests.app.by_hand import Bench
from tests.waiting import eventually

LIVE = {"Accept": "text/event-stream"}


@contextmanager
def live(http: httpx.Client, job: str, **headers: str) -> Iterator[Iterator[Message]]:
    with http.stream("GET", f"/v1/jobs/{job}/events", headers={**LIVE, **headers}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-accel-buffering"] == "no"
        yield messages(response.iter_bytes())


def test_pages_go_on_from_the_number_of_the_last_event(http: httpx.Client, bench: Bench, job: str) -> None:
    bench.tell(job, bench.start(job), *(f"line {n}" for n in range(5)))
    seen, after = [], 0
    while True:
        page = http.get(f"/v1/jobs/{job}/events", params={"after": after, "limit": 3}).json()
        seen += [event["seq"] for event in page["data"]]
        if page["next_cursor"] is None:
            break
        after = page["next_cursor"]
    assert seen == [1, 2, 3, 4, 5, 6, 7]


def test_a_stream_gives_what_was_then_what_comes_and_ends(http: httpx.Client, bench: Bench, job: str) -> None:
    attempt = bench.start(job)
    with live(http, job) as stream:
        assert [(one.id, one.event) for one in (next(stream), next(stream))] == [("1", "queued"), ("2", "started")]
        bench.tell(job, attempt, "größer\u2028und\nweiter")
        told = next(stream)
        assert Event.model_validate_json(told.data).message.startswith("größer")
        bench.succeed(job, attempt)
        assert [one.event for one in stream] == ["succeeded"]


def test_a_stream_resumes_after_the_last_event_that_was_seen(http: httpx.Client, bench: Bench, job: str) -> None:
    attempt = bench.start(job)
    bench.tell(job, attempt, "a", "b")
    bench.succeed(job, attempt)
    with live(http, job, **{"Last-Event-ID": "3"}) as stream:
        assert [one.id for one in stream] == ["4", "5"]
    with http.stream("GET", f"/v1/jobs/{job}/events", params={"after": 4}, headers=LIVE) as response:
        assert [one.id for one in messages(response.iter_bytes())] == ["5"]


def test_a_stream_ends_with_the_job_and_not_at_the_next_ping(http: httpx.Client, bench: Bench, job: str) -> None:
    attempt = bench.start(job)
    with http.stream("GET", f"/v1/jobs/{job}/events", headers=LIVE) as response:
        pieces = response.iter_bytes()
        body = next(pieces)
        bench.succeed(job, attempt)
        body += b"".join(pieces)
    assert body.count(b": ping") == 1 and b"event: succeeded" in body.split(b": ping")[-1]


@pytest.mark.parametrize("after", ["5", "99"])
def test_a_stream_with_nothing_left_says_not_to_come_back(
    http: httpx.Client, bench: Bench, job: str, after: str
) -> None:
    attempt = bench.start(job)
    bench.tell(job, attempt, "a", "b")
    bench.succeed(job, attempt)
    answer = http.get(f"/v1/jobs/{job}/events", headers={**LIVE, "Last-Event-ID": after})
    assert (answer.status_code, answer.content) == (204, b"")


def test_thousands_of_events_come_in_order_to_several_watchers(
    http: httpx.Client, bench: Bench, job: str, client: Pith
) -> None:
    attempt = bench.start(job)
    seen: list[list[int]] = [[], [], []]
    watchers = [
        threading.Thread(target=lambda out=out, n=n: out.extend(e.seq for e in client.jobs.events(job, n)))
        for n, out in enumerate(seen)
    ]
    for watcher in watchers:
        watcher.start()
    for _ in range(3):
        bench.tell(job, attempt, *(f"line {n}" for n in range(600)))
    bench.succeed(job, attempt)
    for watcher in watchers:
        watcher.join(30)
    assert seen == [list(range(1 + n, 1804)) for n in range(3)]


def test_a_silent_stream_holds_nobody_up(http: httpx.Client, bench: Bench, job: str) -> None:
    bench.start(job)
    with live(http, job) as stream:
        next(stream)
        for _ in range(20):
            assert http.get("/livez").status_code == 200


def test_bad_last_event_id(http: httpx.Client, job: str) -> None:
    answer = http.get(f"/v1/jobs/{job}/events", headers={**LIVE, "Last-Event-ID": "x"})
    assert answer.json()["errors"][0]["pointer"] == "/header/last-event-id"


def test_the_client_waits_through_all_of_it(client: Pith, bench: Bench, job: str) -> None:
    heard: list[str] = []

    def work() -> None:
        attempt = bench.start(job)
        bench.tell(job, attempt, "half way")
        eventually(lambda: "progress" in heard)
        bench.succeed(job, attempt)

    worker = threading.Thread(target=work)
    worker.start()
    assert client.jobs.wait(job, lambda event: heard.append(event.type)).status == "succeeded"
    worker.join()
    assert heard == ["queued", "started", "progress", "succeeded"]
