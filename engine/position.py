"""Where in its recipe a job is, as a checkpoint says it. Imports no torch: the worker reads it too."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from pith.base import Frozen
from pith.findings.curves import Curve
from pith.metrics import MetricName

NAME = "position.json"
DRAINED = 75
"""The exit code (EX_TEMPFAIL) of a run that was asked to stop and has left a checkpoint."""
FileName = Annotated[str, StringConstraints(pattern=r"^[a-z]+-[0-9]{1,9}\.(pt2|pt|onnx)$")]


class Finished(Frozen):
    """What the report needs to know of a step that is done; its exported graph lies beside the checkpoint."""

    kind: str
    seconds: float = Field(ge=0)
    notes: tuple[str, ...] = ()
    counts: dict[MetricName, float] = Field(default_factory=dict)
    curves: tuple[Curve, ...] = ()


class Position(Frozen):
    """Where a job is: before ``phase`` of ``step``, or inside its training when ``training`` names a file.

    ``number`` counts the checkpoints of a job. No file of one is written again by a later one, so whoever has opened
    what a position names has a whole checkpoint.
    """

    number: int = Field(ge=0)
    step: int = Field(0, ge=0)
    phase: int = Field(0, ge=0)
    graph: FileName
    training: FileName | None = None
    memo: dict[str, Any] = Field(default_factory=dict)
    finished: tuple[Finished, ...] = ()
    pieces: int = Field(1, ge=1)
    curves: tuple[Curve, ...] = Field((), description="Of the step that is running.")

    def files(self) -> tuple[str, ...]:
        """All files of the checkpoint besides this one."""
        training = () if self.training is None else (self.training,)
        named = (self.graph, *training, *(measured(step) for step in range(len(self.finished))))
        return tuple(dict.fromkeys(named))


def kept(step: int) -> str:
    """The position after a step, among what is kept of finished steps."""
    return f"position-{step}.json"


def measured(step: int) -> str:
    """The file in which the exported graph after a step waits to be measured."""
    return f"step-{step}.onnx"
