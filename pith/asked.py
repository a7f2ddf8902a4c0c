"""A job spec beside what is known of all that it names, and what follows from both at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pith.dataset import DatasetFacts
from pith.doubt import doubted
from pith.facts import ModelFacts
from pith.fit import class_numbers, split_of
from pith.ids import DatasetId, ModelId
from pith.job import JobSpec
from pith.metrics import MeasuredOn, MetricName
from pith.outlook import Foresees, Given, Outlook


@dataclass(frozen=True)
class Asked:
    """Facts are None while an input is being checked, or when it was rejected."""

    spec: JobSpec
    model: ModelFacts | None
    data: DatasetFacts | None
    others: Mapping[ModelId, ModelFacts] = field(default_factory=dict)
    datasets: Mapping[DatasetId, DatasetFacts] = field(default_factory=dict)


def outlooks(asked: Asked) -> list[tuple[Given, Outlook]]:
    """What each step meets and what it foresees; nothing while the model is not known."""
    if asked.model is None:
        return []
    given = Given(
        model=asked.model,
        baseline=asked.model,
        own=asked.spec.model,
        data=asked.data,
        others=asked.others,
        datasets=asked.datasets,
        augmentation=tuple(step.kind for step in asked.spec.augmentation),
    )
    found = []
    for step in asked.spec.recipe:
        outlook = doubted(step, given, _foreseen(step, given))
        found.append((given, outlook))
        given = outlook.left(given)
    return found


def _foreseen(step: Foresees, given: Given) -> Outlook:
    return step.outlook(given)


def quality(asked: Asked) -> tuple[MetricName, MeasuredOn] | None:
    """The metric that quality will be measured with, and on what."""
    if asked.model is None or (asked.spec.dataset is not None and asked.data is None):
        return None
    output = _result(asked, asked.model).outputs[0].shape
    unlabelled: MetricName = "agreement" if class_numbers(asked.data) and _scores(output) else "sqnr_db"
    if asked.data is None:
        return "sqnr_db", "random inputs"
    if test := split_of(asked.data, "test"):
        return _metric(asked.data) if test.labelled else unlabelled, "test split"
    return unlabelled, "training inputs"


def _result(asked: Asked, model: ModelFacts) -> ModelFacts:
    """The model that the report is about, as far as its outputs go."""
    if not asked.spec.new_outputs():
        return model
    given, outlook = outlooks(asked)[-1]
    return outlook.left(given).model


def _scores(output: tuple[int | None, ...]) -> bool:
    return len(output) == 2 and (output[1] or 0) > 1


def _metric(data: DatasetFacts) -> MetricName:
    if class_numbers(data):
        return "accuracy"
    return "r2" if data.task == "tabular-regression" else "cosine_similarity" if data.task == "embedding" else "loss"
