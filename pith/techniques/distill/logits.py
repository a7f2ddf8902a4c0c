"""``distill.logits``."""

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from pith.idle import refuse_idle
from pith.teaching import Teaching


class DistillLogits(Teaching):
    """Train the model to give the teacher's outputs, and its labels where there are any.

    Scores of classes are softened by the temperature and compared by their divergence; other outputs (regression,
    embedding) by the mean squared error. It is the first output that is matched.
    """

    paper: ClassVar[str] = "Hinton, Vinyals and Dean 2015, arXiv 1503.02531"
    limits: ClassVar[str] = (
        "Teacher and student must take the same inputs and give the same first output; others are not matched."
    )

    kind: Literal["distill.logits"] = "distill.logits"

    @model_validator(mode="after")
    def _softens(self) -> Self:
        if self.hard_label_weight == 1:
            way_out = "set hard_label_weight below 1"
            refuse_idle(self, "hard_label_weight is 1 and nothing goes to the teacher", way_out, "temperature")
        return self
