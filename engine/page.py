"""The report as one self-contained HTML page: no script, no address outside, light and dark, fit for paper."""

from pathlib import Path

import jinja2

from pith.metrics import MetricName
from pith.report import Measurement, Report

_TEMPLATES = Path(__file__).parent / "templates"

ROWS: tuple[tuple[MetricName, str], ...] = (
    ("size_bytes", "Size"),
    ("parameters", "Parameters"),
    ("nonzero_parameters", "Parameters that are not zero"),
    ("macs", "Multiply-accumulates"),
    ("latency_median_ms", "Latency, median"),
    ("latency_p95_ms", "Latency, 95th percentile"),
    ("peak_memory_bytes", "Peak memory"),
    ("accuracy", "Accuracy"),
    ("agreement", "Agreement with the baseline"),
    ("r2", "R²: explained part of the variance"),
    ("rmse", "Root of the mean squared error"),
    ("mae", "Mean absolute error"),
    ("cosine_similarity", "Cosine similarity to the targets"),
    ("loss", "Loss"),
    ("sqnr_db", "Signal to noise against the baseline"),
)


def render(report: Report) -> str:
    """The page; every string in it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["figure"] = figure
    columns = [
        ("Baseline", report.baseline),
        *((f"{step.index + 1}. {step.kind}", step.after) for step in report.steps),
    ]
    rows = [(name, label) for name, label in ROWS if report.result.get(name) is not None]
    template = environment.get_template("report.html.j2")
    return template.render(report=report, columns=columns, rows=rows, bars=_bars(columns), names=dict(ROWS))


def figure(value: float | None, name: MetricName) -> str:
    """A number as people read it, with its unit."""
    if value is None:
        return "–"
    if name in ("size_bytes", "peak_memory_bytes"):
        return _scaled(value, (("MB", 1e6), ("kB", 1e3)), "bytes")
    if name in ("parameters", "nonzero_parameters", "macs"):
        return _scaled(value, (("G", 1e9), ("M", 1e6), ("k", 1e3)), "")
    if name in ("latency_median_ms", "latency_p95_ms"):
        return f"{value:.3f} ms"
    if name == "sqnr_db":
        return f"{value:.1f} dB"
    if name in ("accuracy", "agreement"):
        return f"{value:.2%}"
    return f"{value:.4g}" if name in ("rmse", "mae") else f"{value:.4f}"


def _scaled(value: float, units: tuple[tuple[str, float], ...], smallest: str) -> str:
    for unit, size in units:
        if value >= size:
            return f"{value / size:.2f} {unit}".strip()
    return f"{value:.0f} {smallest}".strip()


def _bars(columns: list[tuple[str, Measurement]]) -> list[tuple[MetricName, str, list[tuple[str, float, str]]]]:
    """For each figure a bar a column, as a fraction of the longest."""
    bars = []
    for name, label in (("size_bytes", "Size"), ("latency_median_ms", "Latency, median"), ("macs", "MACs")):
        values = [(title, measured.get(name) or 0.0) for title, measured in columns]  # type: ignore[arg-type]
        longest = max(value for _, value in values) or 1.0
        bars.append((name, label, [(title, value / longest, figure(value, name)) for title, value in values]))  # type: ignore[arg-type]
    return bars  # type: ignore[return-value]
