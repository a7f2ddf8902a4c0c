"""How far the answers can be trusted: whether confidence means what it says, and what disturbances do."""

from typing import Literal

from pydantic import Field

from pith.base import Frozen
from pith.metrics import MetricName

DisturbanceName = Literal[
    "noise", "blur", "brightness", "contrast", "missing words", "missing values", "silence", "adversarial"
]


class ReliabilityBin(Frozen):
    """The samples whose confidence lies between these two."""

    low: float
    high: float
    samples: int = Field(ge=0)
    confidence: float | None = Field(description="The mean of theirs.")
    accuracy: float | None = Field(description="The share of them that is right.")


class Reliability(Frozen):
    """Of one model: the expected calibration error (Guo et al. 2017, arXiv 1706.04599), over bins of equal width."""

    ece: float = Field(ge=0, le=1)
    bins: tuple[ReliabilityBin, ...]


class Calibration(Frozen):
    """Confidence against accuracy, before and after."""

    samples: int = Field(ge=1)
    before: Reliability
    after: Reliability


Interval = tuple[float, float] | None
"""A 95 % confidence interval, where there is one."""


class Disturbance(Frozen):
    """Quality on the same disturbed samples, before and after. All intervals are over samples, as these were drawn and
    disturbed; those of differences are paired."""

    name: DisturbanceName
    strength: float
    unit: str = Field(description="What strength is measured in, such as 'standard deviations'.")
    before: float
    after: float
    before_interval: Interval = None
    after_interval: Interval = None
    drop: float | None = Field(None, description="How much worse the result is than the baseline, both disturbed.")
    drop_interval: Interval = None
    further: float | None = Field(None, description="How much larger this drop is than that of undisturbed samples.")
    further_interval: Interval = None


class Trust(Frozen):
    """``clean`` is quality on those samples undisturbed. A disturbance that was tried in several strengths stands here
    once for each, the weakest first."""

    calibration: Calibration | None = None
    metric: MetricName | None = Field(None, description="What disturbances were judged by.")
    samples: int = Field(0, ge=0, description="That were disturbed.")
    clean_before: float | None = None
    clean_after: float | None = None
    clean_before_interval: Interval = None
    clean_after_interval: Interval = None
    clean_drop: float | None = None
    clean_drop_interval: Interval = None
    disturbances: tuple[Disturbance, ...] = ()
