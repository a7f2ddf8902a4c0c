"""``quantize.float16``."""

from typing import ClassVar, Literal

from pydantic import Field

from pith.halves import Halves
from pith.outlook import Given, Outlook


class QuantizeFloat16(Halves):
    """Weights stored as float16: half the size, and nearly nothing lost."""

    paper: ClassVar[str] = "IEEE 754-2008 binary16, as Micikevicius et al. 2018, arXiv 1710.03740, use it"
    limits: ClassVar[str] = (
        "Inputs and outputs stay float32. With arithmetic in float32 speed and memory while running stay: weights are "
        "cast once, when the file is loaded. Arithmetic in float16 is for GPUs; an x86 CPU casts back and forth and is "
        "no faster, often slower, and the .pt2 computes in float32 all the same. A weight beyond 65,504 is refused "
        "when the job runs."
    )

    kind: Literal["quantize.float16"] = "quantize.float16"
    arithmetic: Literal["float32", "float16"] = Field(
        "float32", description="What the ONNX file computes in; float16 is for GPUs."
    )

    def outlook(self, given: Given) -> Outlook:
        return self.halved(given, f"float16, computed with in {self.arithmetic}")
