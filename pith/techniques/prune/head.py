"""``prune.head``."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pith.base import Change, Need
from pith.facts import AttentionFacts
from pith.idle import refuse_idle
from pith.iterative import Iterative
from pith.outlook import Given, Outlook, Refusal, share
from pith.patterns import LayerPattern, named_by, unmatched


class PruneHead(Iterative):
    """Remove whole attention heads: their queries, keys and values, and what reads them.

    A head's importance is how much the loss would change without it, |head output · its gradient| averaged over
    samples, or the norm of its weights. The size of a head and the scale of attention stay.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"shapes", "values"})
    paper: ClassVar[str] = "Michel, Levy and Neubig 2019, arXiv 1905.10650"
    limits: ClassVar[str] = "Every attention keeps one head; queries that share a key go together."

    kind: Literal["prune.head"] = "prune.head"
    pruning_ratio: float = Field(0.5, gt=0, lt=1, description="Fraction of the heads removed.")
    importance: Literal["taylor", "magnitude"] = Field(
        "taylor", description="From gradients on training data, or from the norm of a head's weights, without data."
    )
    scope: Literal["layer", "global"] = Field(
        "layer", description="Same ratio in every attention, or the least important heads of the whole model."
    )
    samples: int = Field(512, ge=1, le=1_000_000, description="Training samples that importance is measured on.")
    ignore: tuple[LayerPattern, ...] = Field(
        (), max_length=1000, description="Attentions left alone: shell patterns over dotted names, such as blocks.0.*"
    )

    @model_validator(mode="after")
    def _none_idle(self) -> Self:
        if self.importance == "magnitude":
            refuse_idle(self, "importance is magnitude", "set importance to taylor", "samples")
        return self

    def asks(self) -> tuple[str, ...]:
        taylor = ("importance taylor (magnitude does without)",) if self.importance == "taylor" else ()
        return *taylor, *super().asks()

    def required(self) -> frozenset[Need]:
        measured: frozenset[Need] = (
            frozenset({"training_data", "labels"}) if self.importance == "taylor" else self.needs
        )
        return super().required() | measured

    def left(self, units: int, part: float = 1.0) -> int:
        """Of so many heads, those that stay once this part of the step is done; at least one does."""
        return min(units, max(1, round(units * (1 - self.pruning_ratio * part))))

    def outlook(self, given: Given) -> Outlook:
        attentions = given.model.attention_layers
        alone = _left_alone(attentions) | self._ignored(attentions)
        gone = {each.name: self._gone(each) for each in attentions if each.name not in alone}
        heads, total = sum(gone.values()), sum(each.heads for each in attentions)
        left = tuple(_without(each, gone.get(each.name, 0)) for each in attentions)
        macs = given.macs
        return Outlook(
            does=f"Removes {heads:,} of {total:,} heads in {share(len(gone), len(attentions), 'attention layers')}"
            f"{self.recovered(given)}.",
            touched=tuple(name for name, count in gone.items() if count),
            left_alone=alone | {name: self._few() for name, count in gone.items() if not count},
            model=given.model.model_copy(update={"attention_layers": left}),
            parameters=given.parameters - _sum(attentions, "parameters") + _sum(left, "parameters"),
            macs=None if macs is None else macs - _sum(attentions, "macs") + _sum(left, "macs"),
            trained=self.trained(given) + self._measured(given),
            batch=self.together(given),
            refusals=tuple(self._refusals(attentions, alone, heads)),
            notes=tuple(self._notes([each for each in attentions if each.name not in alone], heads)),
        )

    def _notes(self, attentions: Sequence[AttentionFacts], gone: int) -> Iterator[str]:
        if self.scope == "global":
            yield _GLOBAL
        held = [each.name for each in attentions if round(_units(each) * (1 - self.pruning_ratio)) < 1]
        if held and gone:
            heads = sum(each.heads for each in attentions)
            shown = ", ".join(held[:5]) + (f" and {len(held) - 5} more" if len(held) > 5 else "")
            part = f"{gone / heads:.0%} of the heads in question go ({gone:,} of {heads:,})"
            why = "every attention keeps one, or the ones that share a key"
            yield f"{part}, not {self.pruning_ratio:.0%}: {why}; of {shown} no more can go."

    def nothing(self, left_alone: dict[str, str]) -> Refusal:
        """Why no head may go, where ``left_alone`` are all attentions of the model."""
        if not left_alone:
            return Refusal(reason="the model has no attention", way_out="leave this step out")
        shown = "; ".join(f"{name}: {why}" for name, why in list(left_alone.items())[:5])
        way_out = "shorten ignore or leave this step out" if self.ignore else "leave this step out"
        return Refusal(reason=f"no attention whose heads may be removed ({shown})", way_out=way_out)

    def too_few(self) -> Refusal:
        reason = f"no attention has enough heads to lose {self.pruning_ratio:.0%} of them"
        return Refusal(reason=reason, way_out="raise pruning_ratio", field="pruning_ratio")

    def _few(self) -> str:
        return f"it has too few heads to lose {self.pruning_ratio:.0%} of them"

    def _gone(self, attention: AttentionFacts) -> int:
        return (_units(attention) - self.left(_units(attention))) * attention.together

    def _measured(self, given: Given) -> int:
        return self.iterations * min(self.samples, given.samples or self.samples) if self.importance == "taylor" else 0

    def _ignored(self, attentions: tuple[AttentionFacts, ...]) -> dict[str, str]:
        """Those that are named, and those that lose their heads with them."""
        named = named_by(self.ignore, [each.name for each in attentions])
        groups = {each.group for each in attentions if each.name in named and each.group is not None}
        found = {each.name: "its heads go with those of one in ignore" for each in attentions if each.group in groups}
        return found | {name: f"matches {pattern}" for name, pattern in named.items()}

    def _refusals(self, attentions: tuple[AttentionFacts, ...], alone: dict[str, str], heads: int) -> Iterator[Refusal]:
        yield from unmatched(self.ignore, [each.name for each in attentions], "ignore")
        if len(alone) == len(attentions):
            yield self.nothing(alone)
        elif not heads:
            yield self.too_few()


_GLOBAL = "Which attentions lose how many heads is decided by their importance; the numbers are as if all lost alike."


def _left_alone(attentions: tuple[AttentionFacts, ...]) -> dict[str, str]:
    return {each.name: each.left_alone for each in attentions if each.left_alone is not None}


def _units(attention: AttentionFacts) -> int:
    """What goes as one: a head, or the heads that share a key."""
    return attention.heads // attention.together


def _without(attention: AttentionFacts, gone: int) -> AttentionFacts:
    """With about the weights and multiplications that are left to it."""
    part = (attention.heads - gone) / max(1, attention.heads)
    macs = None if attention.macs is None else round(attention.macs * part)
    left = {"heads": attention.heads - gone, "parameters": round(attention.parameters * part), "macs": macs}
    return attention.model_copy(update=left)


def _sum(attentions: tuple[AttentionFacts, ...], what: Literal["parameters", "macs"]) -> int:
    return sum(getattr(each, what) or 0 for each in attentions)
