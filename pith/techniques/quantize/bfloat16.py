"""``quantize.bfloat16``."""

from typing import ClassVar, Literal

from pith.halves import Halves
from pith.outlook import Given, Outlook


class QuantizeBfloat16(Halves):
    """Weights stored as bfloat16: half the size, the range of float32, 8 bits of precision."""

    paper: ClassVar[str] = "Kalamkar et al. 2019, arXiv 1905.12322; ONNX Cast of bfloat16, opset 13"
    limits: ClassVar[str] = (
        "Storage alone: ONNX Runtime has no bfloat16 convolution or product on a CPU, so weights are cast to float32 "
        "once, when the file is loaded, and speed and memory while running stay. quantize.float16 is more precise "
        "where no weight exceeds 65,504."
    )

    kind: Literal["quantize.bfloat16"] = "quantize.bfloat16"

    def outlook(self, given: Given) -> Outlook:
        return self.halved(given, "bfloat16")
