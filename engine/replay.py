"""A job beside the one whose spec it runs again: metric by metric, and byte by byte."""

import hashlib
from collections.abc import Mapping

from pydantic import ValidationError

from engine.jobdir import EngineJob, JobDir, Original
from pith.artifact import Digest
from pith.metrics import MetricName
from pith.report import Measurement, Replay, ReplayedArtifact, ReplayedMetric, Report

ALIKE = 0.01
"""Metrics that differ by less than this share of the larger one agree."""
TIMED: frozenset[MetricName] = frozenset({"latency_median_ms", "latency_p95_ms", "peak_memory_bytes"})


def replay(folder: JobDir, job: EngineJob, report: Report) -> Replay | None:
    """None for a job that replays none. The original's report is data from elsewhere: one that cannot be read is said
    to be so."""
    if job.original is None:
        return None
    try:
        before = Report.model_validate_json(folder.original.read_bytes()) if folder.original.exists() else None
    except ValidationError:
        return _nothing(job.original, f"the report of {job.original.job} cannot be read by this version")
    if before is None:
        return _nothing(job.original, f"{job.original.job} {_end(job.original)} and has no report")
    metrics = tuple(_metrics(before.result, report.result))
    artifacts = _artifacts(job.original.artifacts, _made(folder, report))
    identical = all(each.identical for each in artifacts)
    return Replay(
        job=job.original.job,
        status=job.original.status,
        verdict=_verdict(job.original, metrics, artifacts),
        identical=identical,
        metrics=metrics,
        artifacts=artifacts,
    )


def _nothing(original: Original, why: str) -> Replay:
    verdict = f"There is nothing to compare with: {why}."
    return Replay(job=original.job, status=original.status, verdict=verdict, identical=None)


def _end(original: Original) -> str:
    if original.status == "deleted":
        return "was deleted"
    return f"had {original.status}" if original.status in ("succeeded", "failed") else f"was {original.status}"


def _metrics(before: Measurement, after: Measurement) -> list[ReplayedMetric]:
    names = dict.fromkeys(metric.name for metric in (*before.metrics, *after.metrics))
    return [_metric(name, before.get(name), after.get(name)) for name in names]


def _metric(name: MetricName, before: float | None, after: float | None) -> ReplayedMetric:
    difference = None if before is None or after is None else after - before
    return ReplayedMetric(name=name, original=before, replay=after, difference=difference)


def _made(folder: JobDir, report: Report) -> dict[str, Digest]:
    """What this job hands out besides its report, as it will be stored."""
    made = {output.name: output.digest for output in report.outputs}
    for path in (folder.preprocessing, folder.part("tokenizer.json")):
        if path.exists():
            made[path.name] = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    return made


def _artifacts(before: Mapping[str, Digest], after: Mapping[str, Digest]) -> tuple[ReplayedArtifact, ...]:
    return tuple(
        ReplayedArtifact(
            name=name,
            original=before.get(name),
            replay=after.get(name),
            identical=before.get(name) == after.get(name),
        )
        for name in sorted({*before, *after})
    )


def _verdict(original: Original, metrics: tuple[ReplayedMetric, ...], artifacts: tuple[ReplayedArtifact, ...]) -> str:
    """Latency is left out: no two runs of the same bytes have the same."""
    judged = [metric for metric in metrics if metric.name not in TIMED]
    apart = [metric for metric in judged if _share(metric) > ALIKE]
    changed = [each.name for each in artifacts if not each.identical]
    if apart:
        return f"It differs from {original.job}: {', '.join(map(_said, apart))}."
    if not changed and all(metric.difference == 0 for metric in judged):
        return f"The same as {original.job}, byte for byte."
    within = 100 * max(map(_share, judged), default=0.0)
    files = f"the bytes of {', '.join(changed)} differ" if changed else "the bytes are the same"
    return f"The metrics agree with those of {original.job} within {within:.2g} %; {files}."


def _share(metric: ReplayedMetric) -> float:
    """How far apart, as a share of the larger one; all of it where one is missing."""
    if metric.original is None or metric.replay is None or metric.difference is None:
        return 1.0
    return abs(metric.difference) / (max(abs(metric.original), abs(metric.replay)) or 1.0)


def _said(metric: ReplayedMetric) -> str:
    then, now = ("none" if value is None else f"{value:.6g}" for value in (metric.original, metric.replay))
    return f"{metric.name} {then} → {now}"
