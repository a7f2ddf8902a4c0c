"""``distill.logits``."""

from typing import ClassVar, Literal

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
