"""``distill.logits``."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import Field

from pith.base import Change, Need, Step
from pith.fit import teacher_problem
from pith.ids import ModelId
from pith.outlook import Given, Outlook, Refusal
from pith.training import TrainingOptions


class DistillLogits(Step, TrainingOptions):
    """Train the model to give the teacher's outputs, and its labels where there are any.

    Scores of classes are softened by the temperature and compared by their divergence; other outputs (regression,
    embedding) by the mean squared error. It is the first output that is matched.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"training_data", "teacher"})
    changes: ClassVar[frozenset[Change]] = frozenset({"values"})
    paper: ClassVar[str] = "Hinton, Vinyals and Dean 2015, arXiv 1503.02531"
    limits: ClassVar[str] = (
        "Teacher and student must take the same inputs and give the same first output; others are not matched."
    )

    kind: Literal["distill.logits"] = "distill.logits"
    teacher: Literal["baseline"] | ModelId = Field(
        "baseline", description="The model that was uploaded for this job, or the id of another one."
    )
    temperature: float = Field(
        4.0,
        gt=0,
        le=100,
        description="Divisor of both logits before softmax; of no effect where outputs are no scores of classes.",
    )
    hard_label_weight: float = Field(
        0.1, ge=0, le=1, description="Weight of the task's loss with the labels; the rest goes to the teacher."
    )

    def models(self) -> Mapping[str, ModelId]:
        return {} if self.teacher == "baseline" else {"teacher": self.teacher}

    def outlook(self, given: Given) -> Outlook:
        matched = f"scores softened by {self.temperature:g}" if given.classes else "outputs"
        return Outlook(
            does=f"Trains all {given.parameters:,} parameters to give the {matched} of the teacher ({self.teacher}), "
            f"for {self.foreseen(given.samples)}.",
            touched=tuple(layer.name for layer in given.layers),
            trained=self.epochs * (given.samples or 0),
            run=self.epochs * (given.samples or 0),
            batch=self.together(given.samples),
            refusals=tuple(self._refusals(given)),
        )

    def _refusals(self, given: Given) -> Iterator[Refusal]:
        teacher = given.named(self.teacher)
        problem = None if teacher is None else teacher_problem(teacher, given.model)
        if problem is not None:
            yield Refusal.of(problem, "teacher")
