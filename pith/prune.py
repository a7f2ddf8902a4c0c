"""The prune family: remove weights or zero them."""

from collections.abc import Iterator
from fnmatch import filter as matching
from math import prod
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from pith.base import Change, Need, Step
from pith.facts import LayerFacts
from pith.narrow import left_alone, narrowed, widths_after
from pith.outlook import Given, Outlook, Refusal, names, share
from pith.training import TrainingOptions

# No control characters: PostgreSQL cannot store a NUL in JSON.
LayerPattern = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,255}$")]


class Iterative(Step):
    """What every pruning step shares: a schedule, and recovery along it."""

    iterations: int = Field(
        1, ge=1, le=100, description="Reach the target in this many parts, with recovery after each."
    )
    recovery: TrainingOptions | None = Field(
        None, description="Fine-tuning after each iteration; null leaves the model as pruning left it."
    )

    def required(self) -> frozenset[Need]:
        return self.needs | {"training_data", "labels"} if self.recovery else self.needs

    def recovered(self, given: Given) -> str:
        """The recovery in words, to follow a sentence; nothing without one."""
        parts = f", in {self.iterations} parts" if self.iterations > 1 else ""
        if self.recovery is None:
            return parts
        return f"{parts}{', each' if parts else ','} followed by {self.recovery.foreseen(given.samples)}"

    def trained(self, given: Given) -> int:
        return self.iterations * self.recovery.epochs * (given.samples or 0) if self.recovery else 0

    def together(self, given: Given) -> int:
        return self.recovery.together(given.samples) if self.recovery else 0


class PruneMagnitude(Iterative):
    """Set the smallest weights of convolutions and linear layers to zero; shapes stay as they are."""

    changes: ClassVar[frozenset[Change]] = frozenset({"values"})
    paper: ClassVar[str] = "Han, Pool, Tran and Dally 2015, arXiv 1506.02626"
    limits: ClassVar[str] = "Dense runtimes do not run zeros faster; the file shrinks only when it is compressed."

    kind: Literal["prune.magnitude"] = "prune.magnitude"
    sparsity: float = Field(0.5, gt=0, lt=1, description="Fraction of the weights that end as zero.")
    scope: Literal["layer", "global"] = Field(
        "layer", description="Same sparsity in every layer, or one threshold for the whole model."
    )

    def outlook(self, given: Given) -> Outlook:
        layers = given.weighted()
        weights = sum(prod(layer.shape) for layer in layers)
        reason = "the model has no convolution and no linear layer"
        return Outlook(
            does=f"Sets {round(self.sparsity * weights):,} of {weights:,} weights in {len(layers)} layers to zero"
            f"{self.recovered(given)}.",
            touched=names(layers),
            trained=self.trained(given),
            batch=self.together(given),
            refusals=() if layers else (Refusal(reason=reason, way_out="leave this step out"),),
        )


class PruneChannel(Iterative):
    """Remove whole channels, with everything that depends on them, so that the model is smaller and faster.

    The classifier's outputs are never removed. Importance of a group of coupled channels is the norm of
    its weights, averaged over the group.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"shapes", "values"})
    paper: ClassVar[str] = "Fang, Ma, Song, Mi and Wang 2023, arXiv 2301.12900 (DepGraph)"
    limits: ClassVar[str] = "Attention heads are left as they are."

    kind: Literal["prune.channel"] = "prune.channel"
    pruning_ratio: float = Field(0.5, gt=0, lt=1, description="Fraction of the channels removed.")
    importance: Literal["l1", "l2"] = Field("l2", description="Norm that scores a channel.")
    scope: Literal["layer", "global"] = Field(
        "layer", description="Same ratio in every layer, or the least important channels of the whole model."
    )
    round_to: int = Field(8, ge=1, le=256, description="Keep widths at multiples of this number.")
    ignore: tuple[LayerPattern, ...] = Field(
        (), max_length=1000, description="Layers left alone: shell patterns over dotted names, such as layer4.*"
    )

    def outlook(self, given: Given) -> Outlook:
        layers = given.weighted()
        alone = left_alone(layers, self._ignored(layers))
        open_ones = tuple(layer for layer in layers if layer.name not in alone and layer.width)
        widths = widths_after(open_ones, self.pruning_ratio, self.round_to)
        before, after = sum(layer.width or 0 for layer in open_ones), sum(widths.values())
        changed = tuple(layer.name for layer in open_ones if widths[layer.name] != layer.width)
        left = narrowed(given.layers, widths)
        return Outlook(
            does=f"Removes {before - after:,} of {before:,} channels in {share(len(changed), len(layers), 'layers')}, "
            f"widths kept at multiples of {self.round_to}{self.recovered(given)}.",
            touched=changed,
            left_alone=alone | {name: self._narrow() for name in names(open_ones) if name not in changed},
            after=left,
            parameters=given.parameters - _fewer(given.layers, left, "parameters"),
            macs=None if given.macs is None else given.macs - _fewer(given.layers, left, "macs"),
            trained=self.trained(given),
            batch=self.together(given),
            refusals=tuple(self._refusals(layers, open_ones, changed)),
            notes=(_GLOBAL,) if self.scope == "global" else (),
        )

    def without_layers(self) -> str:
        """The way out where no layer may lose channels."""
        return "leave this step out or shorten ignore" if self.ignore else "leave this step out"

    def _narrow(self) -> str:
        return f"too narrow to lose {self.pruning_ratio:.0%} and keep a multiple of {self.round_to}"

    def _ignored(self, layers: tuple[LayerFacts, ...]) -> dict[str, str]:
        return {name: f"matches {pattern}" for pattern in self.ignore for name in matching(names(layers), pattern)}

    def _refusals(
        self, layers: tuple[LayerFacts, ...], open_ones: tuple[LayerFacts, ...], changed: tuple[str, ...]
    ) -> Iterator[Refusal]:
        for index, pattern in enumerate(self.ignore):
            if not matching(names(layers), pattern):
                shown = ", ".join(names(layers)[:40]) + (", …" if len(layers) > 40 else "")
                reason = f"ignore has {pattern!r}, which matches no layer"
                yield Refusal(reason=reason, way_out=f"name some of {shown}", field=f"ignore/{index}")
        if not open_ones:
            reason = "no layer has channels that may be removed"
            yield Refusal(reason=reason, way_out=self.without_layers())
        elif not changed:
            wide = f"no layer is wide enough to lose {self.pruning_ratio:.0%} and stay a multiple of {self.round_to}"
            yield Refusal(reason=wide, way_out="raise pruning_ratio or lower round_to", field="pruning_ratio")


_GLOBAL = "Which layers lose how many channels is decided by their weights; the numbers here are as if all lost alike."


def _fewer(before: tuple[LayerFacts, ...], after: tuple[LayerFacts, ...], what: Literal["parameters", "macs"]) -> int:
    return sum((getattr(old, what) or 0) - (getattr(new, what) or 0) for old, new in zip(before, after, strict=True))


Prune = Annotated[PruneMagnitude | PruneChannel, Field(discriminator="kind")]
