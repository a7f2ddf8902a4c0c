"""``merge.task_arithmetic``."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pith.base import Change
from pith.outlook import Given, Outlook
from pith.task_vectors import TaskVectors


class MergeTaskArithmetic(TaskVectors):
    """Add what fine-tuned models learnt to their common start, or take it away.

    A model's task vector is its difference to the base; the result is the base and the sum of the scaled vectors. A
    negative scale makes the model forget that task.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"values"})
    paper: ClassVar[str] = "Ilharco et al. 2022, arXiv 2212.04089 (task arithmetic)"
    limits: ClassVar[str] = "All models must have been fine-tuned from the base, and have its shapes and names."

    kind: Literal["merge.task_arithmetic"] = "merge.task_arithmetic"
    scales: Annotated[tuple[Annotated[float, Field(ge=-10, le=10)], ...], Field(min_length=1, max_length=32)] = Field(
        (0.4,), description="Factor of each task vector, or one for all; negative ones take the task away."
    )

    @model_validator(mode="after")
    def _one_a_task(self) -> Self:
        if len(self.scales) not in (1, self.tasks()):
            raise ValueError(f"has {len(self.scales)} scales for {self.tasks()} fine-tuned models")
        return self

    def factors(self) -> tuple[float, ...]:
        """One for each fine-tuned model."""
        return self.scales * self.tasks() if len(self.scales) == 1 else self.scales

    def outlook(self, given: Given) -> Outlook:
        terms = ", ".join(f"{factor:+g}" for factor in self.factors())
        return self.foreseen(
            given,
            f"Adds the differences of {self.tasks()} fine-tuned models to the weights of {self.start()}: {terms}.",
        )
