"""The page of a job while ten thousand events arrive: how many frames a second a real browser shows."""

import re
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
from playwright.sync_api import Page, expect, sync_playwright

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
    """While they come live, and again when they are all there and the page is loaded anew."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), "app.serve") as (url, _):
        bench = Bench(Path(folder) / "data")
        job = _job(url)
        attempt = bench.start(job)
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"{url}/jobs/{job}")
            page.wait_for_selector("#log li")
            page.evaluate(COUNT)
            began = time.monotonic()
            for start in range(0, EVENTS, BATCH):
                bench.jobs.record(job, attempt, _events(start), Progress(fraction=start / EVENTS, step=0))
                time.sleep(PAUSE)
            _until_all(page)
            live, seconds = page.evaluate("window.gaps"), time.monotonic() - began
            page.reload()
            page.evaluate(COUNT)
            _until_all(page)
            again = page.evaluate("window.gaps")
            lines = page.locator("#log li").count()
            browser.close()
        bench.db.close()
    return {**_said("live", live), **_said("reload", again), "seconds": seconds, "lines": lines}


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


def _said(name: str, gaps: list[float]) -> dict[str, float]:
    ordered = sorted(gaps[1:])
    return {
        f"{name}_rate": 1000 * len(ordered) / sum(ordered),
        f"{name}_p99": ordered[int(0.99 * (len(ordered) - 1))],
        f"{name}_worst": ordered[-1],
        f"{name}_late": sum(gap > 1.5 * 1000 / 60 for gap in ordered) / len(ordered),
    }
