"""The page of a job while as many events arrive as a job keeps: how many frames a second a real browser shows, and how
much of the time its one thread is busy. The same page at rest stands beside it, since others may use the machine."""

import re
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
from playwright.sync_api import CDPSession, Page, expect, sync_playwright

from bench.service import running
from pith.job import EngineEvent, Progress
from tests.app.by_hand import Bench
from tests.pages.browsing import CHROMIUM

EVENTS, BATCH, PAUSE = 10_000, 100, 0.05
COUNT = """() => {
    window.gaps = [];
    let last = performance.now();
    const frame = (now) => { window.gaps.push(now - last); last = now; requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
}"""


def measure() -> dict[str, float]:
    """At rest, while they come live, and when they are all there and the page is loaded anew."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), "app.serve") as (url, _):
        bench = Bench(Path(folder) / "data")
        job = _job(url)
        attempt = bench.start(job)

        def arrive() -> None:
            for start in range(0, EVENTS, BATCH):
                bench.jobs.record(job, attempt, _events(start), Progress(fraction=start / EVENTS, step=0))
                time.sleep(PAUSE)
            _until_all(page)

        def anew() -> None:
            page.reload()
            page.evaluate(COUNT)
            _until_all(page)

        with sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"{url}/jobs/{job}")
            page.wait_for_selector("#log li")
            found = {
                **_during(page, "rest", lambda: page.wait_for_timeout(5000)),
                **_during(page, "live", arrive),
                **_during(page, "reload", anew),
                "lines": page.locator("#log li").count(),
            }
            browser.close()
        bench.db.close()
    return found


def _during(page: Page, name: str, do: Callable[[], object]) -> dict[str, float]:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    page.evaluate(COUNT)
    before, began = _busy(session), time.monotonic()
    do()
    seconds = time.monotonic() - began
    gaps = sorted(page.evaluate("window.gaps")[1:])
    return {
        f"{name}_rate": 1000 * len(gaps) / sum(gaps),
        f"{name}_worst": gaps[-1],
        f"{name}_busy": (_busy(session) - before) / seconds,
        f"{name}_seconds": seconds,
    }


def _busy(session: CDPSession) -> float:
    """Seconds that the page's thread has been at work."""
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def _job(url: str) -> str:
    model = httpx.put(f"{url}/v1/models?name=m.pt2", content=b"model").json()["id"]
    spec = {"model": model, "recipe": [{"kind": "quantize.weight_only"}]}
    return str(httpx.post(f"{url}/v1/jobs", json=spec).json()["id"])


def _events(start: int) -> list[EngineEvent]:
    """Every tenth one has a point of a curve."""
    now = datetime.now(UTC)
    return [
        EngineEvent(at=now, type="metric", message=f"loss {1 / (i + 1):.5f}", step=0, data={"loss": 1 / (i + 1)})
        if i % 10 == 0
        else EngineEvent(at=now, type="progress", message=f"batch {i}", step=0)
        for i in range(start, start + BATCH)
    ]


def _until_all(page: Page) -> None:
    expect(page.locator("#event-count")).to_have_text(re.compile(f"of {EVENTS}$"), timeout=120_000)
