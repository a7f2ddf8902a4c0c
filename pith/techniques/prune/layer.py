"""``prune.layer``."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from pith.base import Change, Need
from pith.doubt import parts, without
from pith.facts import BlockFacts, ModelFacts
from pith.iterative import Iterative
from pith.outlook import Doubt, Given, Outlook, Refusal
from pith.patterns import LayerPattern, named_by, unmatched

_RATIO = 0.25


class PruneLayer(Iterative):
    """Remove whole blocks, one at a time: the one that matters least goes, then all others are measured again.

    A block can go when it gives one tensor of the same shape as one that it reads, as residual blocks do.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"training_data"})
    changes: ClassVar[frozenset[Change]] = frozenset({"shapes", "values"})
    paper: ClassVar[str] = (
        "Song et al. 2024, arXiv 2402.09025 (SLEB, loss); Men et al. 2024, arXiv 2403.03853 (ShortGPT, similarity)"
    )
    limits: ClassVar[str] = "Blocks that change the shape, or give several tensors, stay."

    kind: Literal["prune.layer"] = "prune.layer"
    pruning_ratio: float | None = Field(
        None, gt=0, lt=1, description="Fraction of the blocks removed, at least one; 0.25 where layers is not given."
    )
    layers: int | None = Field(None, ge=1, le=10_000, description="How many blocks go, instead of pruning_ratio.")
    importance: Literal["loss", "similarity"] = Field(
        "loss", description="The loss on held-out samples without the block, or how little the block changes its input."
    )
    samples: int = Field(512, ge=1, le=1_000_000, description="Held-out samples that importance is measured on.")
    ignore: tuple[LayerPattern, ...] = Field(
        (), max_length=1000, description="Blocks left alone: shell patterns over dotted names, such as blocks.0"
    )

    @model_validator(mode="after")
    def _one_target(self) -> "PruneLayer":
        if self.layers is not None and self.pruning_ratio is not None:
            raise ValueError("layers and pruning_ratio are two targets; give one")
        return self

    def required(self) -> frozenset[Need]:
        labels: frozenset[Need] = frozenset({"labels"}) if self.importance == "loss" else frozenset()
        return super().required() | self.needs | labels

    def count(self, blocks: int) -> int:
        """How many of so many blocks go."""
        return self.layers if self.layers is not None else max(1, round((self.pruning_ratio or _RATIO) * blocks))

    def outlook(self, given: Given) -> Outlook:
        ignored = named_by(self.ignore, [each.name for each in given.model.blocks])
        free = tuple(each for each in given.model.blocks if each.name not in ignored)
        count = min(self.count(len(free)), len(free))
        part, gone = count / max(1, len(free)), _spread(free, count)
        macs = given.macs
        return Outlook(
            does=f"Removes {count} of {len(given.model.blocks)} blocks{self.recovered(given)}.",
            touched=tuple(each.name for each in free),
            left_alone={name: f"matches {pattern}" for name, pattern in ignored.items()},
            model=without(given.model, gone),
            doubt=_doubt(given.model, free, gone) if count < len(free) else None,
            parameters=given.parameters - round(part * sum(each.parameters for each in free)),
            macs=None if macs is None else macs - round(part * sum(each.macs or 0 for each in free)),
            trained=self.trained(given),
            run=self._measured(given, len(free), count),
            batch=self.together(given),
            refusals=tuple(self._refusals(given.model.blocks, len(free))),
            notes=(_MEASURED,) if count < len(free) else (),
        )

    def refused(self, free: int) -> Refusal | None:
        """Why so many blocks that may go are too few; None when they are not."""
        if not free:
            way_out = "shorten ignore or leave this step out" if self.ignore else "leave this step out"
            return Refusal(reason="the model has no block that may be removed", way_out=way_out)
        if self.count(free) <= free:
            return None
        reason = f"the model has {free} blocks that may be removed, and {self.layers} are to go"
        return Refusal(reason=reason, way_out=f"set layers to {free} or less", field="layers")

    def _refusals(self, blocks: tuple[BlockFacts, ...], free: int) -> Iterator[Refusal]:
        yield from unmatched(self.ignore, [each.name for each in blocks], "ignore")
        refusal = self.refused(free)
        if refusal is not None:
            yield refusal

    def _measured(self, given: Given, free: int, count: int) -> int:
        """Samples that pass through the model: one block at a time, or all blocks in one run."""
        samples = min(self.samples, given.samples or self.samples)
        runs = sum(range(free - count + 1, free + 1)) if self.importance == "loss" else count
        return samples * runs


_MEASURED = "Which blocks go is decided by their importance; the numbers are of the mean block."


def _spread(free: tuple[BlockFacts, ...], count: int) -> tuple[BlockFacts, ...]:
    """So many blocks, large ones and small ones: they stand for those that will go, and nobody knows which."""
    ordered = sorted(free, key=lambda block: block.parameters)
    return tuple(ordered[(2 * index + 1) * len(free) // (2 * count)] for index in range(count))


def _doubt(model: ModelFacts, free: tuple[BlockFacts, ...], gone: tuple[BlockFacts, ...]) -> Doubt:
    taken = ", ".join(each.name for each in free if each in gone)
    return Doubt(
        names=parts(model, free),
        sentence=f"Only running prune.layer tells which blocks it takes; here all is as if it took {taken}.",
    )
