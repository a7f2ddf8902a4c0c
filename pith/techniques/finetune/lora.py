"""``finetune.lora``."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from pith.base import Change, Need, Step
from pith.facts import LayerFacts
from pith.outlook import Given, Outlook, Refusal, names, share
from pith.patterns import LayerPattern, named_by, unmatched
from pith.training import TrainingOptions

ADAPTABLE = ("Linear", "Conv1d", "Conv2d", "Conv3d")
NO_LINEAR = "the model has no linear layers for LoRA"
CONVOLUTIONS_TOO = 'name convolutions in targets, such as ["*"], or use finetune.partial'
GROUPED = "grouped or transposed, which no low-rank adapter stands beside"


class FinetuneLora(Step, TrainingOptions):
    """Train low-rank adapters beside the layers, with the task's loss, and add them to the weights at the end.

    W + (alpha / rank) · B · A takes the place of W. A convolution's adapter is one of the same kernel with ``rank``
    channels, and a 1 x 1 convolution behind it. All else, statistics of norms included, stays as it was.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"training_data", "labels"})
    changes: ClassVar[frozenset[Change]] = frozenset({"values"})
    paper: ClassVar[str] = "Hu et al. 2021, arXiv 2106.09685"
    limits: ClassVar[str] = (
        "The adapters are not handed out apart; they are part of the weights. Weights that pruning set to zero stay "
        "zero, and grouped convolutions have no adapters."
    )

    kind: Literal["finetune.lora"] = "finetune.lora"
    rank: int = Field(8, ge=1, le=4096, description="Of the product that is added to a weight.")
    alpha: float = Field(16.0, gt=0, le=65536, description="The product is scaled by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Of what the adapters read, in training.")
    targets: tuple[LayerPattern, ...] = Field(
        (),
        max_length=1000,
        description="Layers with adapters, as shell patterns over dotted names, convolutions too; empty: every linear "
        "layer.",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Mass moved from the label to all classes; refused for tasks without classes."
    )

    def outlook(self, given: Given) -> Outlook:
        chosen = self._chosen(given)
        added = sum(self.rank * (layer.shape[0] + _reads(layer)) for layer in chosen)
        every = len([layer for layer in given.layers if layer.kind in ADAPTABLE])
        return Outlook(
            does=f"Trains about {added:,} parameters of adapters of rank {self.rank} beside "
            f"{share(len(chosen), every, 'layers')} for {self.foreseen(given.samples)}, and adds them to the weights.",
            touched=names(chosen),
            left_alone={layer.name: "targets does not name it" for layer in given.layers if layer not in chosen},
            trained=self.epochs * (given.samples or 0),
            batch=self.together(given.samples),
            refusals=tuple(self._refusals(given, chosen)),
        )

    def _chosen(self, given: Given) -> tuple[LayerFacts, ...]:
        if not self.targets:
            return tuple(layer for layer in given.layers if layer.kind == "Linear")
        able = [layer for layer in given.layers if layer.kind in ADAPTABLE]
        found = named_by(self.targets, [layer.name for layer in able])
        return tuple(layer for layer in able if layer.name in found)

    def _refusals(self, given: Given, chosen: tuple[LayerFacts, ...]) -> Iterator[Refusal]:
        if self.label_smoothing and not given.classes:
            reason = "label_smoothing is for classes, which this task has not"
            yield Refusal(reason=reason, way_out="leave it out", field="label_smoothing")
        if not chosen and not self.targets:
            yield Refusal(reason=NO_LINEAR, way_out=CONVOLUTIONS_TOO, field="targets")
        yield from unmatched(self.targets, [layer.name for layer in given.layers if layer.kind in ADAPTABLE], "targets")


def _reads(layer: LayerFacts) -> int:
    """Numbers that one output of the layer is made of."""
    inputs = 1
    for size in layer.shape[1:]:
        inputs *= size
    return inputs
