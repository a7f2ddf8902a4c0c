"""The model layer by layer, before and after."""

from typing import Literal

from pydantic import Field

from pith.base import Frozen
from pith.metrics import MetricName

Absent = Literal[
    "came",
    "went",
    "other shape",
    "merged",
    "no output",
    "integers",
    "no numbers",
    "too many",
    "new outputs",
    "short report",
]
"""Why a layer has no noise or no sensitivity: it is in one of the models alone; its numbers, or what it gives, have
another shape, as where channels were removed; a norm or a bias was merged into it; it gives nothing by itself; it was
integers, or gives some; something was not finite; there was no time for all; or models were not run, or not to be
compared."""


class LayerCost(Frozen):
    """What one layer is and costs. Bytes are those of its numbers as the ONNX file stores them."""

    shape: tuple[int, ...] = Field((), description="Of its weight, outputs first; empty in reports of before.")
    parameters: int = Field(ge=0)
    nonzero: int = Field(ge=0)
    size_bytes: int = Field(ge=0)
    bits: float = Field(ge=0, description="Of one number of its weight, as stored.")
    macs: int | None = Field(None, ge=0, description="Of one sample; null where they cannot be counted.")


class LayerReport(Frozen):
    """One layer, under its dotted name. ``before`` is null for one that came, ``after`` for one that went."""

    name: str
    kind: str = Field(description="The module's class, such as Conv2d.")
    before: LayerCost | None
    after: LayerCost | None
    sqnr_db: float | None = Field(
        None,
        description="Signal to noise of its outputs against the baseline's on the same samples, with everything before "
        "it compressed too, and without gains that were moved between layers; null where ``no_noise`` says why.",
    )
    no_noise: Absent | None = None
    sensitivity: float | None = Field(
        None,
        description="How much agreement with the baseline falls when this layer alone has its new weights, without "
        "gains that were moved between layers; null where ``no_sensitivity`` says why.",
    )
    no_sensitivity: Absent | None = None


class Layers(Frozen):
    """In the order of the graph."""

    rows: tuple[LayerReport, ...] = Field(max_length=2000)
    samples: int = Field(0, ge=0, description="That sensitivity was found on, and noise on the first of them.")
    metric: MetricName | None = Field(
        None,
        description="What sensitivity is a fall of: agreement with the baseline's classes or, without classes, R², the "
        "baseline's outputs being the truth.",
    )
