"""Jobs: what is asked (job spec), one execution of it (job), and its history (events)."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, Field

from pith.artifact import Artifact, OutputFormat
from pith.augmentation import Augmentation
from pith.base import OF_DATA, Frozen
from pith.dataset import Preprocessing
from pith.errors import PithError, Problem
from pith.ids import DatasetId, JobId, ModelId, WebhookId
from pith.intake import IntakeSpec
from pith.outcome import Outcome
from pith.recipe import MAX_STEPS, Recipe, finished_problems, order_problems

Id = TypeVar("Id", bound=str)
JobKind = Literal["compression", "intake"]
JobStatus = Literal["queued", "running", "pausing", "paused", "cancelling", "succeeded", "failed", "cancelled"]
Verdict = Literal["met", "not_met", "unconstrained"]

TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    "queued": frozenset({"running", "paused", "failed", "cancelled"}),
    "running": frozenset({"queued", "pausing", "cancelling", "succeeded", "failed", "cancelled"}),
    "pausing": frozenset({"paused", "cancelling", "succeeded", "failed", "cancelled"}),
    "paused": frozenset({"queued", "failed", "cancelled"}),
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


Priority = Literal["low", "normal", "high"]
Device = Literal["auto", "cpu", "gpu"]


class Constraints(Frozen):
    """What the result must keep. A constraint that is not met makes the verdict ``not_met``."""

    max_metric_drop: float | None = Field(
        None,
        ge=0,
        le=1e6,
        description="Most that the task's metric may get worse, as a difference: 0.01 is one point of accuracy.",
    )
    min_compression_ratio: float | None = Field(None, gt=0, le=1e6, description="Bytes before / bytes after.")
    min_speedup: float | None = Field(None, gt=0, le=1e6, description="Latency before / latency after.")


class Limits(Frozen):
    """Beyond which a job fails. An operator's own limits hold besides."""

    seconds: float | None = Field(None, gt=0, le=1e8, description="That workers may spend on it, in all attempts.")
    attempts: int | None = Field(
        None, ge=1, le=1000, description="Lost workers or processes without a checkpoint between them."
    )


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
        description="Formats of the result; the first one is weighed, unless a step encodes.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Every random stream of the job derives from it.")
    preprocessing: Preprocessing | None = Field(
        None, description="How samples become inputs; null is what the dataset and the model say."
    )

    priority: Priority = Field("normal", description="Which of the jobs that wait are taken up first.")
    limits: Limits = Limits()
    webhooks: tuple[WebhookId, ...] = Field(
        (), max_length=10, description="Webhooks that are told of this job though they are not told of every job."
    )
    device: Device = Field(
        "auto", description="What trains it: a worker with a GPU (gpu), one without (cpu), or whichever is free first."
    )
    augmentation: tuple[Augmentation, ...] = Field(
        (), max_length=20, description="Random changes to training batches, in this order."
    )

    report: Literal["full", "short"] = Field(
        "full", description="short: the figures alone, without what takes further runs of the models."
    )
    keep_steps: bool = Field(
        False, description="Keep what each step leaves, so that a fork can go on from there. Counts as storage."
    )

    def trains(self) -> bool:
        """Whether any step trains on data."""
        return any("training_data" in step.required() for step in self.recipe)

    def new_outputs(self) -> bool:
        """Whether a step gives the model outputs that mean other things than the uploaded model's."""
        return any(step.new_outputs() for step in self.recipe)

    def weighed(self) -> OutputFormat:
        """The format of the file that is weighed after each step that does not encode."""
        return "onnx" if self.encodes() else self.outputs[0]

    def encodes(self) -> bool:
        """Whether a step encodes the weights; then ``model.pith`` is handed out besides."""
        return any("encoding" in step.changes for step in self.recipe)

    def models(self) -> dict[ModelId, str]:
        """The models that steps name, each once, with the first place in the spec that names it (RFC 6901)."""
        return _once(
            (f"/recipe/{i}/{place}", id) for i, step in enumerate(self.recipe) for place, id in step.models().items()
        )

    def datasets(self) -> dict[DatasetId, str]:
        """The datasets that steps name, as ``models``."""
        return _once(
            (f"/recipe/{i}/{place}", id) for i, step in enumerate(self.recipe) for place, id in step.datasets().items()
        )

    def check(self) -> None:
        """Refuse a spec that is well formed and makes no sense.

        Raises:
            PithError: ``recipe_order``, ``dataset_required``, ``dataset_required_by_constraint``, or
                ``technique_inapplicable`` for a drop that could not be measured.
        """
        for _, problem in self.problems():
            raise problem

    def problems(self) -> Iterator[tuple[str, PithError]]:
        """Everything that ``check`` refuses, each with its place in the spec (RFC 6901)."""
        for index, problem in order_problems(self.recipe):
            yield f"/recipe/{index}", problem
        if self.dataset is None:
            yield from self._without_dataset()
        if self.constraints.max_metric_drop is not None and self.recipe[-1].new_outputs():
            yield "/constraints/max_metric_drop", undefined_drop(len(self.recipe) - 1, self.recipe[-1].kind)

    def finished_problems(self) -> Iterator[tuple[str, PithError]]:
        """What else is refused of a model that is a finished graph (``ModelFacts.trainable`` is false)."""
        for index, problem in finished_problems(self.recipe):
            yield f"/recipe/{index}", problem
        for index, form in enumerate(self.outputs):
            if form != "onnx":
                yield f"/outputs/{index}", PithError("output_unavailable", index=index, format=form)

    def _without_dataset(self) -> Iterator[tuple[str, PithError]]:
        for index, step in enumerate(self.recipe):
            if needed := step.required() & OF_DATA:
                why = "" if step.needs & OF_DATA or not step.asks() else f" for {' and '.join(step.asks())}"
                needs = ", ".join(sorted(needed)) + why
                yield f"/recipe/{index}", PithError("dataset_required", index=index, kind=step.kind, needs=needs)
        if (limit := self.constraints.max_metric_drop) is not None:
            yield "/constraints/max_metric_drop", PithError("dataset_required_by_constraint", limit=limit)


def undefined_drop(index: int, kind: str) -> PithError:
    """``max_metric_drop`` is asked for, and the last step gives the model outputs that nothing had before it."""
    reason = "it gives the model new outputs and is the last step, so max_metric_drop has nothing to be counted from"
    way_out = "leave the constraint out, or add the steps that compress the new model: the drop is counted from here on"
    return PithError("technique_inapplicable", index=index, kind=kind, reason=reason, way_out=way_out)


def _once(named: Iterable[tuple[str, Id]]) -> dict[Id, str]:
    found: dict[Id, str] = {}
    for pointer, id in named:
        found.setdefault(id, pointer)
    return found


class Progress(Frozen):
    """Where a running job is. ``fraction`` covers the whole job."""

    fraction: float = Field(0.0, ge=0, le=1)
    step: int | None = Field(None, ge=0, description="Index of the running step in the recipe.")
    message: str = ""


class ForkedFrom(Frozen):
    """Where a fork comes from."""

    job: JobId
    step: int = Field(ge=1, le=MAX_STEPS, description="Its first step: those before it are taken from that job.")


class Job(Frozen):
    """One execution of a job spec, or the check of an upload (``spec.check``)."""

    id: JobId
    status: JobStatus
    spec: JobSpec | IntakeSpec
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = Field(0, ge=0, description="How many times a worker has taken this job up.")
    spent_seconds: float = Field(0, ge=0, description="How long workers were at it, without the attempt that goes on.")
    checkpoint_at: datetime | None = Field(
        None,
        description="When the checkpoint was kept from which another worker would go on; null while there is none.",
    )
    progress: Progress = Progress()
    jobs_before: int | None = Field(
        None, ge=0, description="How many queued jobs are taken up before this one; only shown of a single queued job."
    )
    waits_for: str | None = Field(
        None, description="What a queued job lacks that only an operator can give; only shown of a single queued job."
    )
    remaining_seconds: float | None = Field(
        None, ge=0, description="Until it ends, if the rest goes as fast as this attempt; only shown of a single job."
    )
    verdict: Verdict | None = Field(None, description="Whether the constraints were met; null until it succeeds.")
    outcome: Outcome | None = Field(
        None, description="What it has gained and lost, in short; null until it succeeds. The report says it in full."
    )
    error: Problem | None = Field(None, description="Why the job failed.")
    artifacts: tuple[Artifact, ...] = ()
    replays: JobId | None = Field(None, description="The job whose spec this one runs again.")
    forked_from: ForkedFrom | None = None
    tags: tuple[str, ...] = ()
    kept_steps: tuple[int, ...] = Field((), description="Steps whose result is kept: a fork may begin after each.")


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
    "pausing",
    "paused",
    "resumed",
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
