"""schemathesis over the whole description of a real API process, with a job whose results can be asked for."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.app.a_report import report_of
from tests.app.api_process import running
from tests.app.by_hand import Bench

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).parent / "schemathesis.toml"
SCHEMATHESIS = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "--no-color"]
KEY = "a-key-of-more-than-thirty-two-letters"
PHASES = "examples,coverage,fuzzing,stateful"
RECIPE = [{"kind": "quantize.dynamic"}]


class Outcome(NamedTuple):
    """``said`` is what schemathesis printed, with a line of curl for each finding; ``log`` is the API's own."""

    found: bool
    said: str
    log: str


def fuzz(folder: Path, *, keyed: bool, examples: int, seed: int, phases: str = PHASES) -> Outcome:
    """``keyed`` is with a service that asks for keys, and one of them; else it trusts who reaches it."""
    settings = {"PITH_REQUIRE_KEYS": True, "PITH_OPERATOR_KEY": KEY} if keyed else {}
    headers = {"Authorization": f"Bearer {KEY}"} if keyed else {}
    with running(folder / "data", **settings) as api:
        with httpx.Client(base_url=api.url, headers=headers, timeout=120) as http:
            job = _ended_job(http, Bench(api.data))
            http.get("/openapi.json")  # it is made once, which takes seconds on a busy machine
        done = subprocess.run(
            [*SCHEMATHESIS, "run", f"{api.url}/openapi.json", *_how_much(phases, examples, seed), *_who(keyed)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "FUZZED_JOB": job},
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert api.process.poll() is None, "the API has ended"
    return Outcome(done.returncode != 0, done.stdout + done.stderr, api.log.read_text())


def _how_much(phases: str, examples: int, seed: int) -> list[str]:
    return ["--phases", phases, "--max-examples", str(examples), "--seed", str(seed)]


def _who(keyed: bool) -> list[str]:
    if keyed:
        return ["--header", f"Authorization: Bearer {KEY}"]
    return ["--exclude-checks", "ignored_auth", "--generation-with-security-parameters", "false"]


def _ended_job(http: httpx.Client, bench: Bench) -> str:
    model = http.put("/v1/models", content=b"a model").json()["id"]
    job = str(http.post("/v1/jobs", json={"model": model, "recipe": RECIPE}).json()["id"])
    attempt, report = bench.start(job), report_of(bench.jobs.get(job), 1).model_dump_json().encode()
    bench.succeed(job, attempt, model_onnx=b"smaller", report_json=report, report_html=b"<!doctype html>")
    bench.db.close()
    return job
