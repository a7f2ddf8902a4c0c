"""Jobs in every state, made by hand, and reports whose numbers a test chooses."""

from typing import Any

import httpx
from playwright.sync_api import expect

from pith.job import Job
from pith.report import Measurement, Metric, Report
from tests.app.a_report import report_of
from tests.app.by_hand import Bench
from worker.results import outcome_of

expect.set_options(timeout=30_000)
QUANTIZE: dict[str, Any] = {"kind": "quantize.weight_only"}


def submitted(http: httpx.Client, model: str, *recipe: dict[str, Any], **given: Any) -> str:
    tags = given.pop("tags", [])
    spec = {"model": model, "recipe": list(recipe or (QUANTIZE,)), **given}
    answer = http.post("/v1/jobs", json=spec, params={"tag": tags})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def measured(size: float, accuracy: float, latency: float) -> Measurement:
    return Measurement(
        metrics=(
            Metric(name="size_bytes", value=size, unit="B", better="lower"),
            Metric(name="accuracy", value=accuracy, unit="", better="higher"),
            Metric(name="latency_median_ms", value=latency, unit="ms", better="lower"),
            Metric(name="parameters", value=size // 4, unit="", better="lower"),
        )
    )


def a_report(job: Job, size: float, accuracy: float, latency: float) -> Report:
    report = report_of(job, size)
    comparison = report.comparison.model_copy(
        update={
            "compression_ratio": 4e6 / size,
            "speedup": 8 / latency,
            "quality_drop": round(0.93 - accuracy, 6),
            "samples": 100,
            "flipped_to_wrong": round(100 * (0.93 - accuracy)) + 1,
        }
    )
    made = {"baseline": measured(4e6, 0.93, 8.0), "result": measured(size, accuracy, latency), "comparison": comparison}
    return report.model_copy(update=made)


def succeeded(
    http: httpx.Client,
    bench: Bench,
    job: str,
    page: bytes = b"<h1>Report</h1>",
    further: dict[str, Any] | None = None,
    **numbers: float,
) -> None:
    """``further``: other fields of the report."""
    attempt = bench.start(job)
    said = {"size": 1e6, "accuracy": 0.92, "latency": 4.0} | numbers
    report = a_report(bench.jobs.get(job), **said).model_copy(update=further or {})
    told = report.model_dump_json().encode()
    made = {"report_json": told, "report_html": page, "model_onnx": b"model"}
    bench.succeed(job, attempt, verdict=report.verdict, outcome=outcome_of(report), **made)
