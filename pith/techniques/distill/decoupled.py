"""``distill.decoupled``."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pith.facts import ModelFacts
from pith.outlook import Refusal
from pith.teaching import Shares, Teaching, check_some_weight, no_classes


class DistillDecoupled(Teaching):
    """Train the model on the teacher's scores in two parts: of the true class, and of the others among themselves.

    The second, which tells classes' likeness, is weighted freely instead of by the teacher's doubt. Where a sample has
    no label, the teacher's first class stands for it.
    """

    paper: ClassVar[str] = "Zhao, Cui, Song, Qiu and Liang 2022, arXiv 2203.08679 (DKD)"
    limits: ClassVar[str] = "For scores of classes; with two classes the second part is empty."

    kind: Literal["distill.decoupled"] = "distill.decoupled"
    alpha: float = Field(1.0, ge=0, le=1000, description="Weight of the true class against all others.")
    beta: float = Field(
        2.0,
        ge=0,
        le=1000,
        description="Weight of the other classes among themselves; higher suits surer teachers and longer training.",
    )
    warmup_epochs: int = Field(0, ge=0, le=1000, description="Epochs in which both weights grow from nothing.")
    hard_label_weight: float = Field(
        1.0, ge=0, le=100, description="Weight of the task's loss with the labels, where there are labels."
    )

    @model_validator(mode="after")
    def _learns(self) -> Self:
        check_some_weight(alpha=self.alpha, beta=self.beta, hard_label_weight=self.hard_label_weight)
        return self

    def shares(self) -> Shares:
        return Shares(self.hard_label_weight, 0.0, 1.0)

    def mismatches(
        self, student: ModelFacts, teachers: Mapping[str, ModelFacts], classes: bool, built: bool = True
    ) -> Iterator[Refusal]:
        yield from super().mismatches(student, teachers, classes, built)
        yield from no_classes(self.kind, student.outputs[0].shape, classes)
