"""``merge.weighted``."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pith.base import Change
from pith.ensembles import foreseen
from pith.outlook import Given, Outlook
from pith.peers import Combining, check_weights, unfit


class MergeWeighted(Combining):
    """One model that runs several side by side and averages their outputs.

    Averages of probabilities are given as logarithms, so that they are scores like any others. Further outputs, and
    outputs that are no scores of classes, are averaged as they are.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"shapes", "values"})
    paper: ClassVar[str] = "Hansen and Salamon 1990, Neural network ensembles, IEEE TPAMI 12(10)"
    limits: ClassVar[str] = "As large and as slow as all its members; distill or prune it to make it smaller."

    kind: Literal["merge.weighted"] = "merge.weighted"
    average: Literal["probabilities", "logits"] = Field(
        "probabilities", description="What is averaged where outputs are scores of classes."
    )
    weights: Annotated[tuple[Annotated[float, Field(ge=0, le=1e6)], ...], Field(max_length=32)] | None = Field(
        None,
        description="One a model, the step's own first, divided by their sum; zero leaves it out. Null: all alike.",
    )

    @model_validator(mode="after")
    def _one_a_model(self) -> Self:
        check_weights(self.weights, 1 + len(self.peers))
        return self

    def outlook(self, given: Given) -> Outlook:
        does = f"Makes one model of {self._of()}."
        return foreseen(self, given, does, tuple(unfit(self, given)), weights=self.weights)

    def _of(self) -> str:
        names = ("the step's own model", *self.peers)
        out = [name for name, weight in zip(names, self.weights or (1.0,) * len(names), strict=True) if not weight]
        members = len(names) - len(out)
        averaged = f"{members} whose {self.average} are averaged" if members > 1 else "one member alone"
        return f"{averaged}; left out, with a weight of 0: {', '.join(out)}" if out else averaged
