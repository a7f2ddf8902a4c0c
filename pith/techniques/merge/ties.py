"""``merge.ties``."""

from typing import ClassVar, Literal

from pydantic import Field

from pith.base import Change
from pith.outlook import Given, Outlook
from pith.task_vectors import TaskVectors


class MergeTies(TaskVectors):
    """Merge what several fine-tuned models learnt, without what they contradict each other in.

    Of each difference to the common start only the largest part is kept; each weight's sign is that of the sum; the
    differences of that sign are averaged and added to the start.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"values"})
    paper: ClassVar[str] = "Yadav, Tam, Choshen, Raffel and Bansal 2023, arXiv 2306.01708 (TIES-Merging)"
    limits: ClassVar[str] = "All models must have been fine-tuned from the base, and have its shapes and names."

    kind: Literal["merge.ties"] = "merge.ties"
    density: float = Field(0.2, gt=0, le=1, description="Fraction of each difference that is kept: k in the paper.")
    scale: float = Field(1.0, gt=0, le=10, description="Factor of the merged difference: λ in the paper.")

    def outlook(self, given: Given) -> Outlook:
        return self.foreseen(
            given,
            f"Adds to the weights of {self.start()} what {self.tasks()} fine-tuned models agree on in the largest "
            f"{self.density:.0%} of their differences, times {self.scale:g}.",
        )
