"""``finetune.head``."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pith.base import Change, Need, Step
from pith.facts import LayerFacts
from pith.idle import refuse_idle
from pith.outlook import Given, Outlook, Refusal, names
from pith.patterns import LayerPattern, named_by, unmatched
from pith.rehead import classes_problem, headless, labelled_outputs, with_outputs
from pith.training import TrainingOptions

Patterns = Annotated[tuple[LayerPattern, ...], Field(min_length=1, max_length=1000)]


class FinetuneHead(Step, TrainingOptions):
    """Give the model a new output layer for the dataset's task, and train it, or it and more of the network."""

    needs: ClassVar[frozenset[Need]] = frozenset({"training_data", "labels"})
    changes: ClassVar[frozenset[Change]] = frozenset({"values", "shapes", "outputs"})
    paper: ClassVar[str] = (
        "Yosinski, Clune, Bengio and Lipson 2014, arXiv 1411.1792; Kumar et al. 2022, arXiv 2202.10054"
    )
    limits: ClassVar[str] = (
        "The first output must be made by linear layers or convolutions. The report compares the result with the model "
        "after this step, as the uploaded one answers another question."
    )

    kind: Literal["finetune.head"] = "finetune.head"
    classes: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Outputs of the new layer; null: as many as the dataset has classes, or numbers in a target.",
    )
    train: Literal["head", "all"] | Patterns = Field(
        "all", description="What learns besides the head: nothing, all, or layers named by shell patterns."
    )
    head_epochs: int = Field(
        0,
        ge=0,
        le=1000,
        description="Of the epochs, the first in which the head alone learns, so that it harms no other.",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Mass moved from the label to all classes; refused for tasks without classes."
    )

    @model_validator(mode="after")
    def _waits(self) -> Self:
        if self.train == "head":
            refuse_idle(self, "train is head", "set train to all or to layers", "head_epochs")
        return self

    def outlook(self, given: Given) -> Outlook:
        count = self.classes or labelled_outputs(given.data)
        head = given.model.head
        model = with_outputs(given.model, count) if count is not None else None
        layers = (model or given.model).layers
        trained = self._trained(layers, head.name if head else "")
        made = f"a new {head.name if head else 'head'} with {'the classes of the dataset' if count is None else count}"
        return Outlook(
            does=f"Makes {made}{' outputs' if count is not None else ''} and trains {self._what()} "
            f"for {self.foreseen(given.samples)}{self._first()}.",
            touched=names(trained),
            left_alone={layer.name: "train does not name it" for layer in layers if layer not in trained},
            model=model,
            parameters=model.parameters if model else None,
            trained=self.epochs * (given.samples or 0),
            batch=self.together(given.samples),
            refusals=tuple(self._refusals(given)),
        )

    def _trained(self, layers: tuple[LayerFacts, ...], head: str) -> tuple[LayerFacts, ...]:
        patterns = () if self.train == "head" else ("*",) if self.train == "all" else self.train
        chosen = named_by(patterns, [layer.name for layer in layers])
        return tuple(layer for layer in layers if layer.name in chosen or layer.name == head)

    def _what(self) -> str:
        if isinstance(self.train, str):
            return "it alone" if self.train == "head" else "the whole network"
        return f"it and {', '.join(self.train)}"

    def _first(self) -> str:
        return f", the head alone in the first {self.head_epochs}" if self.head_epochs and self.train != "head" else ""

    def _refusals(self, given: Given) -> Iterator[Refusal]:
        yield from headless(given)
        if self.label_smoothing and not given.classes:
            reason = "label_smoothing is for classes, which this task has not"
            yield Refusal(reason=reason, way_out="leave it out", field="label_smoothing")
        if not isinstance(self.train, str):
            yield from unmatched(self.train, names(given.layers), "train")
        problem = classes_problem(self.classes, given.data)
        if problem is not None:
            yield Refusal(reason=problem, way_out="set classes to that or leave it out", field="classes")
        if self.head_epochs >= self.epochs and self.train != "head":
            reason = f"head_epochs is {self.head_epochs} of {self.epochs} epochs, so nothing but the head would learn"
            yield Refusal(reason=reason, way_out='lower it, or set train to "head"', field="head_epochs")
