"""``finetune.joint``."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pith.base import Change, Need, Step
from pith.idle import refuse_idle
from pith.ids import DatasetId
from pith.outlook import Given, Outlook, Refusal
from pith.rehead import headless, labelled_outputs, with_second_head
from pith.second import of_dataset
from pith.training import TrainingOptions

HEADLESS = 'head_epochs is for a new head, and classes is "same"'


class FinetuneJoint(Step, TrainingOptions):
    """Learn the job's dataset without forgetting what the model did before.

    Beside the task's loss stands one for the old task: the labels of ``old_dataset``, or without one what the model
    gave for the new samples before this step (learning without forgetting). Where the new task has other classes, a
    second head is made for them; its scores become the first output, and the old head's a further one, called ``old``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"training_data", "labels"})
    changes: ClassVar[frozenset[Change]] = frozenset({"values", "shapes", "outputs"})
    paper: ClassVar[str] = "Li and Hoiem 2016, arXiv 1606.09282 (learning without forgetting)"
    limits: ClassVar[str] = "The report measures the first output on the job's dataset; the old task is not measured."

    kind: Literal["finetune.joint"] = "finetune.joint"
    classes: Literal["same", "new"] = Field(
        "same", description="Whether the dataset has the classes that the model knows, or others, for a second head."
    )
    old_dataset: DatasetId | None = Field(
        None, description="Labelled samples of the old task; null: the old outputs for the new samples stand in."
    )
    old_weight: float = Field(1.0, ge=0, le=1000, description="Weight of the old task's loss beside the new one's.")
    temperature: float = Field(
        2.0, gt=0, le=100, description="Of the old outputs that stand in, where they are scores of classes."
    )
    head_epochs: int = Field(
        0,
        ge=0,
        le=1000,
        description="Of the epochs, the first in which the new head alone learns (the paper's warm-up).",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Mass moved from the label to all classes; refused for tasks without classes."
    )

    @model_validator(mode="after")
    def _remembers(self) -> Self:
        if self.old_dataset is not None:
            refuse_idle(self, "old_dataset has labels", "leave old_dataset out", "temperature")
        return self

    def datasets(self) -> Mapping[str, DatasetId]:
        return {} if self.old_dataset is None else {"old_dataset": self.old_dataset}

    def new_outputs(self) -> bool:
        return self.classes == "new"

    def outlook(self, given: Given) -> Outlook:
        count = labelled_outputs(given.data)
        model = with_second_head(given.model, count) if self.classes == "new" and count is not None else None
        old = f"the labels of {self.old_dataset}" if self.old_dataset else "what it gave before, for the same samples"
        head = " with a second head" if self.classes == "new" else ""
        samples = self.epochs * (given.samples or 0)
        return Outlook(
            does=f"Trains the network{head} for {self.foreseen(given.samples)} on the dataset and, weighted by "
            f"{self.old_weight:g}, on {old}.",
            touched=tuple(layer.name for layer in (model or given.model).layers),
            model=model,
            parameters=model.parameters if model else None,
            trained=samples * (2 if self.old_dataset else 1),
            run=0 if self.old_dataset else samples,
            batch=self.together(given.samples) * (2 if self.old_dataset else 1),
            refusals=tuple(self._refusals(given)),
        )

    def _refusals(self, given: Given) -> Iterator[Refusal]:
        if self.classes == "new":
            yield from headless(given)
        if self.label_smoothing and not given.classes:
            reason = "label_smoothing is for classes, which this task has not"
            yield Refusal(reason=reason, way_out="leave it out", field="label_smoothing")
        yield from of_dataset(given, self.old_dataset, "old_dataset", labelled=True)
        if self.head_epochs and self.classes == "same":
            yield Refusal(reason=HEADLESS, way_out="leave it out", field="head_epochs")
        elif self.head_epochs >= self.epochs:
            yield Refusal(reason=all_head(self.head_epochs, self.epochs), way_out="lower it", field="head_epochs")


def all_head(head_epochs: int, epochs: int) -> str:
    return f"head_epochs is {head_epochs} of {epochs} epochs, so nothing but the head would learn"
