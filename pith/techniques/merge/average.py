"""``merge.average``."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pith.base import Change, Need
from pith.outlook import Given, Outlook
from pith.peers import Combining, check_weights, unlike


class MergeAverage(Combining):
    """Average the weights of models of one architecture, as fine-tuned ones of one start: a soup.

    Greedy takes the models in, best first, as long as the average is no worse on the validation split. Statistics of
    batch norms are estimated anew on the training split; without one they are averaged too.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"values"})
    paper: ClassVar[str] = "Wortsman et al. 2022, arXiv 2203.05482 (model soups)"
    limits: ClassVar[str] = "Models that were trained from different starts have no average worth having."

    kind: Literal["merge.average"] = "merge.average"
    method: Literal["uniform", "greedy", "weighted"] = Field(
        "uniform", description="All alike, a choice by the validation split, or by the weights that are given."
    )
    weights: Annotated[tuple[Annotated[float, Field(ge=0, le=1e6)], ...], Field(max_length=32)] | None = Field(
        None, description="For weighted: one a model, the step's own first; they are divided by their sum."
    )

    @model_validator(mode="after")
    def _weighted(self) -> Self:
        if self.method == "weighted" and self.weights is None:
            raise ValueError(
                "the method weighted needs weights: give one a model, the step's own first, then the peers"
            )
        if self.method != "weighted" and self.weights is not None:
            raise ValueError(
                f'weights are not for the method {self.method}; set method to "weighted", or leave them out'
            )
        check_weights(self.weights, 1 + len(self.peers))
        return self

    def asks(self) -> tuple[str, ...]:
        return ("the method greedy (uniform does without)",) if self.method == "greedy" else ()

    def required(self) -> frozenset[Need]:
        return self.needs | {"training_data", "labels"} if self.method == "greedy" else self.needs

    def outlook(self, given: Given) -> Outlook:
        count = 1 + len(self.peers)
        how = {
            "uniform": f"Averages the weights of {count} models.",
            "greedy": f"Averages the weights of those of {count} models with which the average gets no worse on the "
            "validation split.",
            "weighted": f"Averages the weights of {count} models, {self._shares()}.",
        }
        return Outlook(
            does=how[self.method],
            touched=tuple(layer.name for layer in given.layers),
            run=(2 * count if self.method == "greedy" else 1) * (given.samples or 0),
            refusals=tuple(unlike(self.kind, self, given)),
        )

    def _shares(self) -> str:
        weights = self.weights or ()
        return " : ".join(f"{weight / sum(weights):.2f}" for weight in weights)
