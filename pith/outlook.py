"""What a step foresees of itself from facts alone, before anything runs. Not covered: what only running can tell."""

from collections.abc import Mapping
from functools import cached_property
from math import prod
from typing import Protocol

from pydantic import Field

from pith.augmented import MIXING
from pith.base import Frozen
from pith.dataset import DatasetFacts
from pith.errors import PithError, Problem
from pith.facts import LayerFacts, ModelFacts
from pith.fit import class_numbers, split_of
from pith.ids import DatasetId, ModelId

CONVOLUTIONS = frozenset(f"Conv{turned}{dims}d" for turned in ("", "Transpose") for dims in (1, 2, 3))


class Refusal(Frozen):
    """Why a step cannot work on this model or this data. ``field`` is the option that is wrong, as ``ignore/0``.

    It is said as ``technique_inapplicable``, or as another ``problem`` of the error table.
    """

    reason: str = ""
    way_out: str = ""
    field: str = ""
    problem: Problem | None = None

    @classmethod
    def of(cls, error: PithError, field: str = "") -> "Refusal":
        return cls(problem=error.problem, field=field)

    def error(self, index: int, kind: str) -> PithError:
        if self.problem is not None:
            return PithError.of(self.problem)
        return PithError("technique_inapplicable", index=index, kind=kind, reason=self.reason, way_out=self.way_out)


class Doubt(Frozen):
    """Layers and blocks of which only some will be gone, and what the facts take for it, in a sentence."""

    names: frozenset[str]
    sentence: str


class Given(Frozen):
    """What a step meets: the model as the steps before it will leave it, the model that was uploaded for the job, the
    job's dataset, and the other models and datasets that steps name, as far as they are known."""

    model: ModelFacts
    baseline: ModelFacts
    own: ModelId | None = Field(None, description="The id of the baseline.")
    data: DatasetFacts | None = None
    others: Mapping[ModelId, ModelFacts] = Field(default_factory=dict)
    datasets: Mapping[DatasetId, DatasetFacts] = Field(default_factory=dict)
    augmentation: tuple[str, ...] = Field((), description="The kinds of the job's augmentations.")
    doubt: Doubt | None = None

    @property
    def layers(self) -> tuple[LayerFacts, ...]:
        return self.model.layers

    @property
    def parameters(self) -> int:
        return self.model.parameters

    @property
    def macs(self) -> int | None:
        return self.model.macs

    @cached_property
    def samples(self) -> int | None:
        """Of the training split; None without one, or where it is not known yet."""
        train = split_of(self.data, "train") if self.data else None
        return train.samples if train else None

    @cached_property
    def classes(self) -> bool:
        """Whether labels are class numbers."""
        return class_numbers(self.data)

    def named(self, model: str) -> ModelFacts | None:
        """The baseline, or another model by its id; None where it is not known yet."""
        return self.baseline if model in ("baseline", self.own) else self.others.get(model)

    def untouched(self) -> bool:
        """Whether no step has changed the baseline yet."""
        return self.model is self.baseline

    def mixes(self) -> bool:
        """Whether an augmentation mixes the labels of several samples."""
        return not MIXING.isdisjoint(self.augmentation)

    def weighted(self) -> tuple[LayerFacts, ...]:
        """Convolutions and linear layers, which pruning and quantizing are about."""
        return tuple(layer for layer in self.layers if layer.kind == "Linear" or layer.kind in CONVOLUTIONS)


class Outlook(Frozen):
    """What a step will do. ``trained`` and ``run`` count samples that pass through the model, with and without a
    backward pass; ``batch`` is how many are in training at once.

    What stays is None: ``after`` are the layers that it leaves, ``model`` is for a step that leaves another model
    altogether, or one with other outputs.
    """

    does: str
    touched: tuple[str, ...] = ()
    left_alone: dict[str, str] = Field(default_factory=dict)
    model: ModelFacts | None = None
    after: tuple[LayerFacts, ...] | None = None
    parameters: int | None = None
    macs: int | None = None
    trained: int = 0
    run: int = 0
    batch: int = 0
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    doubt: Doubt | None = None

    def left(self, given: Given) -> Given:
        """What the next step meets."""
        changed = {"layers": self.after, "parameters": self.parameters, "macs": self.macs}
        kept = {name: value for name, value in changed.items() if value is not None}
        model = self.model or given.model
        doubt = self._doubt(given.doubt, model)
        return given.model_copy(update={"model": model.model_copy(update=kept), "doubt": doubt})

    def _doubt(self, before: Doubt | None, model: ModelFacts) -> Doubt | None:
        """This step's doubt and that of those before it, unless the model is another one now."""
        if before is None or before.names.isdisjoint(names(model.layers)):
            return self.doubt
        if self.doubt is None:
            return before
        return Doubt(names=before.names | self.doubt.names, sentence=f"{before.sentence} {self.doubt.sentence}")


class Foresees(Protocol):
    """What every step class of a recipe can do."""

    def outlook(self, given: Given) -> Outlook: ...


def names(layers: tuple[LayerFacts, ...]) -> tuple[str, ...]:
    return tuple(layer.name for layer in layers)


def share(count: int, total: int, what: str) -> str:
    """``3 of 5 layers``; ``all 5 layers``."""
    return f"all {total} {what}" if count == total else f"{count} of {total} {what}"


def count_weights(layers: tuple[LayerFacts, ...]) -> str:
    """``3,000 weights``, without biases."""
    return f"{sum(prod(layer.shape) for layer in layers):,} weights"
