"""``finetune.partial``."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from pith.base import Change, Need, Step
from pith.freezing import in_blocks
from pith.outlook import Given, Outlook, Refusal, names
from pith.patterns import LayerPattern, named_by, unmatched
from pith.training import TrainingOptions

NOTHING = "train and freeze leave no layer that learns"


class FinetunePartial(Step, TrainingOptions):
    """Train some layers with the task's loss and freeze the rest; or thaw block after block from the output backwards.

    A frozen layer keeps its weights to the bit, and a frozen norm its statistics. A block is all that shares a dotted
    name up to its first number, such as ``layer1.0``; a layer without a number is a block of its own.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"training_data", "labels"})
    changes: ClassVar[frozenset[Change]] = frozenset({"values"})
    paper: ClassVar[str] = "Howard and Ruder 2018, arXiv 1801.06146 (ULMFiT)"
    limits: ClassVar[str] = (
        "The slanted triangular schedule of the paper is not here; the schedule is that of all steps."
    )

    kind: Literal["finetune.partial"] = "finetune.partial"
    train: tuple[LayerPattern, ...] = Field(
        (), max_length=1000, description="Layers that learn, as shell patterns over dotted names; empty: all of them."
    )
    freeze: tuple[LayerPattern, ...] = Field(
        (), max_length=1000, description="Layers that do not, even if train names them, such as layer1.*"
    )
    unfreeze_every: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Begin with the last block, and add one after so many epochs; null: all at once.",
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Learning rate of a block as a share of the next one's towards the output; the paper has 1 / 2.6.",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Mass moved from the label to all classes; refused for tasks without classes."
    )

    def outlook(self, given: Given) -> Outlook:
        learning = self._learning(given)
        count = sum(layer.parameters for layer in given.layers if layer.name in learning)
        return Outlook(
            does=f"Trains {count:,} parameters of {len(learning)} layers for {self.foreseen(given.samples)}"
            f"{self._how()}.",
            touched=tuple(learning),
            left_alone={name: "frozen" for name in names(given.layers) if name not in learning},
            trained=self.epochs * (given.samples or 0),
            batch=self.together(given.samples),
            refusals=tuple(self._refusals(given, learning)),
            notes=tuple(self._notes(given, learning)),
        )

    def _learning(self, given: Given) -> list[str]:
        known = names(given.layers)
        wanted, frozen = named_by(self.train or ("*",), known), named_by(self.freeze, known)
        return [name for name in known if name in wanted and name not in frozen]

    def _how(self) -> str:
        thawed = f", a block more after every {self.unfreeze_every}" if self.unfreeze_every else ""
        return thawed + (f", each block at {self.layer_decay:g} of the next one's rate" if self.layer_decay < 1 else "")

    def _refusals(self, given: Given, learning: list[str]) -> Iterator[Refusal]:
        if self.label_smoothing and not given.classes:
            reason = "label_smoothing is for classes, which this task has not"
            yield Refusal(reason=reason, way_out="leave it out", field="label_smoothing")
        yield from unmatched(self.train, names(given.layers), "train")
        yield from unmatched(self.freeze, names(given.layers), "freeze")
        if not learning:
            yield Refusal(reason=NOTHING, way_out="shorten freeze or name more in train", field="freeze")

    def _notes(self, given: Given, learning: list[str]) -> Iterator[str]:
        opening = [layer.name for layer in given.layers if layer in given.weighted() or layer.kind == "Embedding"]
        blocks = len(in_blocks(learning, opening)) if learning else 0
        if self.unfreeze_every and (reached := 1 + (self.epochs - 1) // self.unfreeze_every) < blocks:
            yield f"In {self.epochs} epochs {reached} of {blocks} blocks are thawed; the others never learn."
