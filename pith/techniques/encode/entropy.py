"""``encode.entropy``."""

from typing import ClassVar, Literal

from pith.base import Change, Step
from pith.outlook import Given, Outlook


class EncodeEntropy(Step):
    """The ending of Deep Compression: the whole model, its weights entropy-coded, in one file called model.pith.

    ``pith unpack`` makes the ONNX file of it again, bit for bit. What makes weights cost little are the steps before:
    zeros, integers, few distinct values.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"encoding"})
    paper: ClassVar[str] = "Han et al. 2016, arXiv 1510.00149; Wiedemann et al. 2019 (DeepCABAC), arXiv 1907.11900"
    limits: ClassVar[str] = "Weights that are dense float32 become some 15 % smaller, no more; inference is as before."

    kind: Literal["encode.entropy"] = "encode.entropy"

    def outlook(self, given: Given) -> Outlook:
        return Outlook(
            does=f"Writes the model and its {given.parameters:,} parameters, each tensor by the coder that makes it "
            "smallest, into model.pith; no weight changes.",
        )
