"""``finetune.lora``."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
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
NONE_ABLE = "use finetune.full or finetune.partial"
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
            left_alone={layer.name: self._spared(layer) for layer in given.layers if layer not in chosen},
            trained=self.epochs * (given.samples or 0),
            batch=self.together(given.samples),
            refusals=tuple(self._refusals(given, chosen)),
            notes=tuple(self.idle_beside({layer.name: layer.shape for layer in chosen})),
        )

    def useless(self, shapes: Mapping[str, Sequence[int]]) -> Refusal | None:
        """Why the rank is none for layers with weights of these shapes: no adapter would be smaller than its layer."""
        if not shapes or any(self.rank < _side(shape) for shape in shapes.values()):
            return None
        name = max(shapes, key=lambda each: _side(shapes[each]))
        most = _side(shapes[name]) - 1
        larger = f"a rank of {self.rank} makes every adapter larger than its layer"
        if not most:
            reason = f"{larger}: all of them have one output or one input alone, as {name} has"
            return Refusal(reason=reason, way_out=CONVOLUTIONS_TOO, field="rank")
        reason = f"{larger}; {name} takes the greatest rank of them, {most}"
        return Refusal(reason=reason, way_out=f"lower rank to {most} or less", field="rank")

    def idle_beside(self, shapes: Mapping[str, Sequence[int]]) -> Iterator[str]:
        """A note on the layers for which the rank is no low one, where there are others."""
        full = {name: _side(shape) for name, shape in shapes.items() if self.rank >= _side(shape)}
        if full and len(full) < len(shapes):
            shown = ", ".join(f"{name} (full rank {side})" for name, side in list(full.items())[:5])
            more = f" and {len(full) - 5} more" if len(full) > 5 else ""
            yield f"An adapter of rank {self.rank} is larger than the layer itself beside {shown}{more}."

    def unable(self, able: Iterable[str], weighted: Iterable[str]) -> Iterator[Refusal]:
        """A refusal for every pattern that names layers with weights, but none that takes an adapter."""
        able = list(able)
        others = [name for name in weighted if name not in able]
        for index, pattern in enumerate(self.targets):
            found = list(named_by([pattern], others))
            if found and not named_by([pattern], able):
                shown = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
                reason = f"targets has {pattern!r}, which matches only layers that take no adapter: {shown}"
                way_out = f"name linear layers or convolutions, as {', '.join(able[:10])}" if able else NONE_ABLE
                yield Refusal(reason=reason, way_out=way_out, field=f"targets/{index}")

    def _spared(self, layer: LayerFacts) -> str:
        if layer.kind not in ADAPTABLE:
            return f"{layer.kind} takes no adapter; linear layers and convolutions do"
        return "targets does not name it" if self.targets else "targets is empty, which means the linear layers alone"

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
        able = [layer.name for layer in given.layers if layer.kind in ADAPTABLE]
        unable = {refusal.field: refusal for refusal in self.unable(able, names(given.layers))}
        for refusal in unmatched(self.targets, able, "targets"):
            yield unable.get(refusal.field, refusal)
        if useless := self.useless({layer.name: layer.shape for layer in chosen}):
            yield useless


def _reads(layer: LayerFacts) -> int:
    """Numbers that one output of the layer is made of."""
    return prod(layer.shape[1:])


def _side(shape: Sequence[int]) -> int:
    """The smaller side of a weight as a matrix of outputs and all that they read: no product has a greater rank."""
    return min(shape[0], prod(shape[1:]))
