"""Jobs: what is asked (job spec), one execution of it (job), and its history (events)."""

from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field

from pith.artifact import Artifact, OutputFormat
from pith.base import Frozen
from pith.errors import PithError, Problem
from pith.ids import DatasetId, JobId, ModelId
from pith.recipe import Recipe, check_order

JobStatus = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]
Verdict = Literal["met", "not_met", "unconstrained"]

TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    "queued": frozenset({"running", "failed", "cancelled"}),
    "running": frozenset({"queued", "cancelling", "succeeded", "failed", "cancelled"}),
    "cancelling": frozenset({"cancelled", "failed", "succeeded"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}
FINAL: frozenset[JobStatus] = frozenset(status for status, after in TRANSITIONS.items() if not after)


def _some_without_repeats(outputs: tuple[OutputFormat, ...]) -> tuple[OutputFormat, ...]:
    if not outputs:
        raise ValueError(f"names no format; there are: {', '.join(get_args(OutputFormat))}")
    if len(set(outputs)) != len(outputs):
        raise ValueError("names a format twice")
    return outputs


class Constraints(Frozen):
    """What the result must keep. A constraint that is not met makes the verdict ``not_met``."""

    max_metric_drop: float | None = Field(
        None, ge=0, le=1, description="Most that the quality metric may fall, as a difference: 0.01 is one point."
    )
    min_compression_ratio: float | None = Field(None, gt=0, le=1e6, description="Bytes before / bytes after.")
    min_speedup: float | None = Field(None, gt=0, le=1e6, description="Latency before / latency after.")


class JobSpec(Frozen):
    """Everything that a job needs to know, and nothing that changes while it runs."""

    model: ModelId
    dataset: DatasetId | None = None
    recipe: Recipe
    constraints: Constraints = Constraints()
    # Checked after the formats, so that a wrong one is not also reported as a list that is too short.
    outputs: Annotated[tuple[OutputFormat, ...], AfterValidator(_some_without_repeats)] = Field(
        ("onnx", "pt2", "safetensors"),
        json_schema_extra={"minItems": 1},
        description="Formats of the result; the first one is weighed.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Every random stream of the job derives from it.")

    def teachers(self) -> tuple[ModelId, ...]:
        """Ids of the teachers that are neither the baseline nor named twice."""
        named = (getattr(step, "teacher", "baseline") for step in self.recipe)
        return tuple(dict.fromkeys(name for name in named if name != "baseline"))

    def check(self) -> None:
        """Refuse a spec that is well formed and makes no sense.

        Raises:
            PithError: ``recipe_order``, ``dataset_required`` or ``dataset_required_by_constraint``.
        """
        check_order(self.recipe)
        if self.dataset is None:
            self._check_without_dataset()

    def _check_without_dataset(self) -> None:
        for index, step in enumerate(self.recipe):
            if needed := step.required() - {"teacher"}:
                raise PithError("dataset_required", index=index, kind=step.kind, needs=", ".join(sorted(needed)))
        if self.constraints.max_metric_drop is not None:
            raise PithError("dataset_required_by_constraint", limit=self.constraints.max_metric_drop)


class Progress(Frozen):
    """Where a running job is. ``fraction`` covers the whole job."""

    fraction: float = Field(0.0, ge=0, le=1)
    step: int | None = Field(None, ge=0, description="Index of the running step in the recipe.")
    message: str = ""


class Job(Frozen):
    """One execution of a job spec."""

    id: JobId
    status: JobStatus
    spec: JobSpec
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = Field(0, ge=0, description="How many times a worker has taken this job up.")
    progress: Progress = Progress()
    verdict: Verdict | None = Field(None, description="Whether the constraints were met; null until it succeeds.")
    error: Problem | None = Field(None, description="Why the job failed.")
    artifacts: tuple[Artifact, ...] = ()


EventType = Literal[
    "queued",
    "started",
    "requeued",
    "progress",
    "step_started",
    "step_finished",
    "metric",
    "artifact",
    "warning",
    "cancelling",
    "succeeded",
    "failed",
    "cancelled",
]
EVENT_TYPES: tuple[str, ...] = get_args(EventType)


class EngineEvent(Frozen):
    """A line of the engine's event stream, before the store has numbered it."""

    at: datetime
    type: EventType
    message: str = Field("", max_length=2000)
    step: int | None = Field(None, ge=0)
    data: dict[str, Any] = Field(default_factory=dict)


class Event(EngineEvent):
    """One dated, numbered line of a job's history. Numbers start at 1 and have no gaps."""

    seq: int = Field(ge=1)
