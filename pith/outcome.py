"""What a job has gained and lost, in short: kept beside the job, so that a list need not open any report."""

from typing import Literal

from pydantic import Field

from pith.base import Frozen
from pith.metrics import MetricName


class Reached(Frozen):
    """One constraint, and what the result has reached of it."""

    name: Literal["max_metric_drop", "min_compression_ratio", "min_speedup"]
    limit: float
    value: float
    met: bool


class Outcome(Frozen):
    """The figures of the report's comparison that come first."""

    compression_ratio: float = Field(description="Bytes before / bytes after.")
    speedup: float = Field(description="Latency before / latency after.")
    speedup_interval: tuple[float, float] | None = Field(None, description="95 % confidence interval of the speedup.")
    quality: MetricName | None = Field(None, description="The metric that the drop is of; null without a dataset.")
    quality_drop: float | None = Field(
        None, description="How much worse: the fall of the metric, or the rise of a loss."
    )
    quality_drop_interval: tuple[float, float] | None = Field(None, description="95 % confidence interval of the drop.")
    constraints: tuple[Reached, ...] = ()
    replay: str | None = Field(None, description="Of a replay: how it compares with the original, in a sentence.")
    identical: bool | None = Field(None, description="Of a replay: whether all artifacts have the same bytes.")
