"""A plan: what a job would do, or everything that keeps it from running, from what intake learnt.

Not covered: what only running finds, such as training that diverges. The engine is the last judge.
"""

from collections.abc import Mapping

from pydantic import Field

from pith.artifact import OutputFormat
from pith.asked import Asked, outlooks, quality
from pith.base import Frozen
from pith.costs import Seconds, all_seconds, memory, seconds
from pith.dataset import DatasetFormat
from pith.errors import Problem
from pith.facts import ModelFormat, TensorFacts
from pith.job import JobSpec
from pith.metrics import MeasuredOn, MetricName
from pith.notes import notes
from pith.obstacles import obstacles, rejected
from pith.outlook import Given, Outlook
from pith.resources import Dataset, Model


class Change(Frozen):
    """A number before a step, and its estimate after it; null where it is not known."""

    before: int | None
    after: int | None


class PlannedStep(Frozen):
    """One step: what it will do, to which layers, and what it leaves alone and why."""

    index: int = Field(ge=0)
    kind: str
    does: str = Field(description="One sentence.")
    touched: tuple[str, ...] = Field((), description="Layers that change.")
    left_alone: dict[str, str] = Field(default_factory=dict, description="Layers that do not, and why.")
    parameters: Change
    macs: Change
    seconds: Seconds | None
    notes: tuple[str, ...] = ()


class PlannedQuality(Frozen):
    """What quality will be measured with and on. ``sqnr_db`` is reported and cannot be constrained."""

    metric: MetricName
    on: MeasuredOn


class Plan(Frozen):
    """``POST /v1/jobs?dry_run=true``. ``possible`` says that nothing known speaks against it."""

    possible: bool
    problems: tuple[Problem, ...] = Field(description="All of them; ``errors`` has the place in the spec.")
    steps: tuple[PlannedStep, ...]
    memory_bytes: int | None = Field(description="Most that the job will hold at once; an estimate from above.")
    seconds: Seconds | None
    model_format: ModelFormat | None
    dataset_format: DatasetFormat | None
    inputs: tuple[TensorFacts, ...] = Field(description="Of the model, and of each result.")
    outputs: tuple[OutputFormat, ...] = Field(
        description="Formats of the result; the first one is weighed, unless a step encodes."
    )
    quality: PlannedQuality | None
    notes: tuple[str, ...] = ()


def plan(
    spec: JobSpec,
    model: Model,
    dataset: Dataset | None,
    others: Mapping[str, Model | Dataset],
    memory_limit: int | None = None,
) -> Plan:
    """What ``spec`` would do with these inputs. ``others`` are the models and datasets that steps name, by id; one that
    is left out is a problem. Inputs that are still being checked are noted, and what can be checked without them is."""
    asked = Asked(
        spec,
        model.facts,
        dataset.facts if dataset else None,
        {id: other.facts for id, other in others.items() if isinstance(other, Model) and other.facts},
        {id: other.facts for id, other in others.items() if isinstance(other, Dataset) and other.facts},
    )
    foreseen = outlooks(asked)
    problems = (*rejected(spec, model, dataset, others), *obstacles(asked, [outlook for _, outlook in foreseen]))
    held = memory(asked, foreseen)
    steps = tuple(_planned(asked, index, *each) for index, each in enumerate(foreseen))
    measured = quality(asked)
    return Plan(
        possible=not problems,
        problems=problems,
        steps=steps,
        memory_bytes=held,
        seconds=all_seconds(asked, [step.seconds for step in steps]),
        model_format=asked.model and asked.model.format,
        dataset_format=asked.data and asked.data.format,
        inputs=asked.model.inputs if asked.model else (),
        outputs=spec.outputs,
        quality=PlannedQuality(metric=measured[0], on=measured[1]) if measured else None,
        notes=tuple(notes(asked, model, dataset, others, held, memory_limit)),
    )


def _planned(asked: Asked, index: int, given: Given, outlook: Outlook) -> PlannedStep:
    step = asked.spec.recipe[index]
    return PlannedStep(
        index=index,
        kind=step.kind,
        does=outlook.does,
        touched=outlook.touched,
        left_alone=outlook.left_alone,
        parameters=Change(
            before=given.parameters,
            after=given.parameters if outlook.parameters is None else outlook.parameters,
        ),
        macs=Change(before=given.macs, after=given.macs if outlook.macs is None else outlook.macs),
        seconds=seconds(asked, index, given, outlook),
        notes=outlook.notes,
    )
