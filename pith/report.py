"""The report: what a job says at the end. Before and after, measured by the same code."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from pith.artifact import Digest, ResultFormat
from pith.base import Frozen
from pith.findings.curves import Curve
from pith.findings.layers import Layers
from pith.findings.looks import Looks
from pith.findings.lost import Lost
from pith.findings.trust import Trust
from pith.findings.usage import Usage
from pith.ids import JobId
from pith.job import ForkedFrom, JobSpec, JobStatus, Verdict
from pith.metrics import MeasuredOn, MetricName


class Metric(Frozen):
    """A number with a unit and a direction."""

    name: MetricName
    value: float
    unit: str
    better: Literal["higher", "lower"]
    interval: tuple[float, float] | None = Field(None, description="95 % confidence interval, where there is one.")


class Timing(Frozen):
    """How long one model takes for a batch, in turn with the other models of the report."""

    threads: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    median_ms: float = Field(ge=0)
    median_interval_ms: tuple[float, float] = Field(description="95 % confidence interval, from order statistics.")
    p95_ms: float = Field(ge=0)
    throughput: float = Field(ge=0, description="Samples a second, by the median.")


class Measurement(Frozen):
    """One model, measured. ``agreement`` is with the baseline's predictions; quality is of the first output."""

    metrics: tuple[Metric, ...]
    timings: tuple[Timing, ...] = Field((), description="With other numbers of threads, and larger batches.")

    def get(self, name: MetricName) -> float | None:
        return next((metric.value for metric in self.metrics if metric.name == name), None)


class StepChange(Frozen):
    """The model before a step beside that after it, paired as baseline and result are."""

    speedup: float
    speedup_interval: tuple[float, float] = Field(description="95 % confidence interval, from alternate runs.")
    quality_drop: float | None = Field(
        None, description="How much worse; null where there is no quality, or the step gave the model its outputs."
    )
    quality_drop_interval: tuple[float, float] | None = None
    flipped_to_wrong: int = Field(0, ge=0)
    flipped_to_right: int = Field(0, ge=0)


class StepReport(Frozen):
    """The model after one step."""

    index: int = Field(ge=0)
    kind: str
    seconds: float = Field(ge=0)
    after: Measurement
    change: StepChange | None = Field(None, description="Null in reports of before.")
    notes: tuple[str, ...] = Field((), description="What was found while it ran.")
    foreseen: tuple[str, ...] = Field((), description="What a dry run notes of it.")
    taken_from: JobId | None = Field(None, description="The job that ran it, where this one is a fork of that.")


class Comparison(Frozen):
    """Baseline beside result, paired: the same samples, the same device, alternately."""

    compression_ratio: float
    speedup: float
    speedup_interval: tuple[float, float] | None = Field(
        None, description="95 % confidence interval of the speedup, from alternate runs."
    )
    quality: MetricName | None = Field(description="The metric that constraints are about; null without a dataset.")
    quality_since: int | None = Field(
        None,
        description="The step after which the model first had the outputs that quality is about; null: it always had "
        "them. The drop is counted from there, and is null where that is the last step.",
    )
    measured_on: MeasuredOn = Field(
        description="What quality was measured on: training inputs without a test split, random ones without data."
    )
    quality_drop: float | None = Field(
        None, description="How much worse: the fall of the metric, or the rise of a loss."
    )
    quality_drop_interval: tuple[float, float] | None = Field(
        None, description="95 % confidence interval of the drop, from the paired differences."
    )
    samples: int = Field(0, ge=0)
    flipped_to_wrong: int = Field(0, ge=0)
    flipped_to_right: int = Field(0, ge=0)


class ConstraintResult(Frozen):
    """One constraint and how far the result is from it; ``margin`` is negative when it is not met. The one that
    ``binds`` is nearest to its limit, or furthest beyond it, as a share of it."""

    name: Literal["max_metric_drop", "min_compression_ratio", "min_speedup"]
    limit: float
    value: float
    met: bool
    margin: float
    binds: bool = False


class OutputReport(Frozen):
    """One artifact, loaded back in a fresh process and run on the same inputs as when it was written."""

    name: str
    format: ResultFormat
    size_bytes: int = Field(ge=0)
    digest: Digest
    reload_max_abs_difference: float = Field(ge=0)
    agreement_with_result: float = Field(
        ge=0, le=1, description="Fraction of checked samples where its first output says what the measured result does."
    )


class Environment(Frozen):
    """Where the numbers were made."""

    device: str
    device_name: str
    runtime: str
    threads: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    versions: dict[str, str]
    sandbox: tuple[str, ...] = Field(description="Protections that were on; empty when there were none.")


class ReplayedMetric(Frozen):
    """One metric of the result, then and now."""

    name: MetricName
    original: float | None
    replay: float | None
    difference: float | None = Field(description="Now less then.")


class ReplayedArtifact(Frozen):
    """One artifact, then and now."""

    name: str
    original: Digest | None
    replay: Digest | None
    identical: bool


class Replay(Frozen):
    """A job beside the one whose spec it runs again."""

    job: JobId = Field(description="The original.")
    status: JobStatus | Literal["deleted"] = Field(description="Of the original, when this job began.")
    verdict: str = Field(description="One sentence.")
    identical: bool | None = Field(
        description="Whether all artifacts have the same bytes; null without any to compare."
    )
    metrics: tuple[ReplayedMetric, ...] = ()
    artifacts: tuple[ReplayedArtifact, ...] = ()


Section = Literal["lost", "layers", "trust", "looks", "curves", "usage"]


class Report(Frozen):
    """What a job says at the end. A section that is not there is named in ``left_out``, with the reason."""

    job: JobId | None
    created_at: datetime
    verdict: Verdict
    headline: tuple[str, ...] = Field(description="What a reader must know first, worst news first.")
    spec: JobSpec
    model_digest: Digest
    uploaded_bytes: int | None = Field(
        None, ge=0, description="Of the model's file as it came. The baseline is that model, written as the result is."
    )
    dataset_digest: Digest | None
    baseline: Measurement
    result: Measurement
    steps: tuple[StepReport, ...]
    foreseen: tuple[str, ...] = Field((), description="What a dry run notes of the job as a whole.")
    comparison: Comparison
    constraints: tuple[ConstraintResult, ...]
    outputs: tuple[OutputReport, ...]
    environment: Environment
    seconds: float = Field(ge=0)
    forked_from: ForkedFrom | None = None
    replay: Replay | None = None
    lost: Lost | None = None
    layers: Layers | None = None
    trust: Trust | None = None
    looks: Looks | None = None
    curves: tuple[Curve, ...] = ()
    usage: tuple[Usage, ...] = ()
    left_out: dict[Section, str] = Field(default_factory=dict)
