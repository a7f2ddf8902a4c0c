"""``prune.channel``."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pith.base import Change, Need
from pith.facts import LayerFacts
from pith.idle import refuse_idle
from pith.iterative import Iterative
from pith.narrow import Narrowing, channels, least_left, left_alone, narrowed, narrowings, widths_after
from pith.outlook import Given, Outlook, Refusal, names, share
from pith.patterns import LayerPattern, named_by, unmatched
from pith.portions import fewest, tightened

NEAR = 0.01
"""The part of a target that may go in vain, where no more channels than that can stay."""


class PruneChannel(Iterative):
    """Remove whole channels, with everything that depends on them, so that the model is smaller and faster.

    The classifier's outputs are never removed. Coupled channels go together, and their importance is that of all their
    weights: a norm, a norm that compares across layers (LAMP), the scale of the norms behind them, or how much the loss
    is expected to change without them (Taylor).
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"shapes", "values"})
    paper: ClassVar[str] = "Fang, Ma, Song, Mi and Wang 2023, arXiv 2301.12900 (DepGraph)"
    limits: ClassVar[str] = "Attention heads are left as they are."

    kind: Literal["prune.channel"] = "prune.channel"
    pruning_ratio: float = Field(0.5, gt=0, lt=1, description="Fraction of the target that is removed.")
    target: Literal["channels", "macs", "parameters", "latency"] = Field(
        "channels",
        description="What it is a fraction of. All but channels are reached by trial; latency is measured as in the "
        "report, on this worker.",
    )
    importance: Literal["l1", "l2", "lamp", "bn_scale", "taylor", "random"] = Field(
        "l2", description="What scores a channel; taylor needs labelled training data."
    )
    samples: int = Field(512, ge=1, le=1_000_000, description="For taylor: samples whose gradients are taken.")
    scope: Literal["layer", "global"] = Field(
        "layer", description="Same ratio in every layer, or the least important channels of the whole model."
    )
    round_to: int = Field(8, ge=1, le=256, description="Keep widths at multiples of this number.")
    ignore: tuple[LayerPattern, ...] = Field(
        (), max_length=1000, description="Layers left alone: shell patterns over dotted names, such as layer4.*"
    )

    @model_validator(mode="after")
    def _none_idle(self) -> Self:
        if self.importance != "taylor":
            refuse_idle(self, f"importance is {self.importance}", "set importance to taylor", "samples")
        return self

    def asks(self) -> tuple[str, ...]:
        taylor = ("importance taylor (l2 does without)",) if self.importance == "taylor" else ()
        return *taylor, *super().asks()

    def required(self) -> frozenset[Need]:
        labels: frozenset[Need] = frozenset({"training_data", "labels"})
        return super().required() | (labels if self.importance == "taylor" else frozenset())

    def outlook(self, given: Given) -> Outlook:
        layers = given.weighted()
        alone = left_alone(layers, self._ignored(layers))
        open_ones = tuple(layer for layer in layers if layer.name not in alone and layer.width)
        widths = self._widths(given, open_ones)
        gone = sum((layer.width or 0) - widths[layer.name] for layer in open_ones)
        changed = tuple(layer.name for layer in open_ones if widths[layer.name] != layer.width)
        left = narrowed(given.layers, widths)
        return Outlook(
            does=f"Removes {self._about()}{gone:,} of {channels(layers):,} channels in "
            f"{share(len(changed), len(layers), 'layers')}, widths kept at multiples of {self.round_to}"
            f"{self.recovered(given)}.",
            touched=changed,
            left_alone=alone | {layer.name: self._untouched(layer) for layer in open_ones if layer.name not in changed},
            after=left,
            parameters=given.parameters - _fewer(given.layers, left, "parameters"),
            macs=None if given.macs is None else given.macs - _fewer(given.layers, left, "macs"),
            trained=self.trained(given),
            batch=self.together(given),
            refusals=tuple(self._refusals(given, open_ones, changed)),
            run=self.iterations * min(self.samples, given.samples or 0) if self.importance == "taylor" else 0,
            notes=tuple(self._notes(given, open_ones)),
        )

    def _notes(self, given: Given, open_ones: tuple[LayerFacts, ...]) -> Iterator[str]:
        if self.scope == "global":
            yield _GLOBAL
        if self.target != "channels":
            yield _LATENCY if self.target == "latency" else _TRIAL
        if self.importance == "bn_scale" and not any("Norm" in layer.kind for layer in given.layers):
            yield without_norms(names(open_ones))

    def _about(self) -> str:
        return "" if self.target == "channels" and self.scope == "layer" else "about "

    def _widths(self, given: Given, open_ones: tuple[LayerFacts, ...]) -> dict[str, int]:
        """What the layers will keep, about; of latency nothing is known, and MACs stand for it."""
        what, total = self._cost(given)
        if self.target == "channels" or total is None:
            return widths_after(open_ones, self.pruning_ratio, self.round_to)
        now = {layer.name: layer.width or 0 for layer in open_ones}

        def kept(gone: Sequence[Narrowing]) -> dict[str, int]:
            return now | {name: width for each in gone for name, width in each.widths.items()}

        def left(gone: Sequence[Narrowing]) -> float:
            return total - _fewer(given.layers, narrowed(given.layers, kept(gone)), what)

        order, goal = narrowings(open_ones, self.round_to), (1 - self.pruning_ratio) * total
        gone = fewest(order, left, goal)
        return kept(order if gone is None else tightened(gone, left, goal, NEAR))

    def _cost(self, given: Given) -> tuple[Literal["parameters", "macs"], int | None]:
        return ("parameters", given.parameters) if self.target == "parameters" else ("macs", given.macs)

    def _reachable(self, given: Given, open_ones: tuple[LayerFacts, ...]) -> bool:
        """Whether the target may be reached: it is taken that any layer's inputs come from the one that loses most."""
        what, total = self._cost(given)
        if self.target not in ("parameters", "macs") or total is None:
            return True
        left = least_left(given.layers, widths_after(open_ones, 1.0, self.round_to), what)
        return left <= (1 - self.pruning_ratio) * total

    def unreachable(self, part: float) -> tuple[str, str]:
        """Why no pruning takes so much of the target away, and the way out."""
        little = f"too little of {'it' if self.target == 'latency' else 'them'} is in channels that may go"
        ways = (
            "lower pruning_ratio or round_to, or shorten ignore" if self.ignore else "lower pruning_ratio or round_to"
        )
        return f"no pruning leaves {_percent(1 - part)} of the {self.target}: {little}", ways

    def too_narrow(self, wider: bool) -> tuple[str, str]:
        """Why nothing goes, and the way out; ``wider``: some layer could lose channels and stay a multiple."""
        ways = ["raise pruning_ratio"] * wider + ["lower round_to"] * (self.round_to > 1)
        reason = f"no layer is wide enough to lose {self.pruning_ratio:.0%} and stay a multiple of {self.round_to}"
        return reason, " or ".join(ways) or self.without_layers()

    def without_layers(self) -> str:
        """The way out where no layer may lose channels."""
        return "leave this step out or shorten ignore" if self.ignore else "leave this step out"

    def _untouched(self, layer: LayerFacts) -> str:
        if self.target != "channels" and (layer.width or 0) > self.round_to:
            return "enough goes without it, as far as can be foreseen"
        return f"too narrow to lose {self.pruning_ratio:.0%} and keep a multiple of {self.round_to}"

    def _ignored(self, layers: tuple[LayerFacts, ...]) -> dict[str, str]:
        return {name: f"matches {pattern}" for name, pattern in named_by(self.ignore, names(layers)).items()}

    def _refusals(self, given: Given, open_ones: tuple[LayerFacts, ...], changed: tuple[str, ...]) -> Iterator[Refusal]:
        yield from unmatched(self.ignore, names(given.weighted()), "ignore")
        if not open_ones:
            reason = "no layer has channels that may be removed"
            yield Refusal(reason=reason, way_out=self.without_layers())
        elif not changed:
            least = widths_after(open_ones, 1.0, self.round_to)
            reason, way_out = self.too_narrow(any(least[layer.name] < (layer.width or 0) for layer in open_ones))
            yield Refusal(reason=reason, way_out=way_out, field="pruning_ratio")
        elif not self._reachable(given, open_ones):
            reason, way_out = self.unreachable(self.pruning_ratio)
            yield Refusal(reason=reason, way_out=way_out, field="pruning_ratio")


_LATENCY = "Latency is found by trial when the job runs; the plan's numbers are as if it went with the MACs."
_TRIAL = "How many channels that takes is found by trial when the job runs; the plan's numbers are estimates."
_GLOBAL = "Which layers lose how many channels is decided by weights; the plan's numbers are as if all lost alike."


def without_norms(layers: Sequence[str]) -> str:
    """What importance is where it was to be the scale of norms, and there are none."""
    shown = ", ".join(layers[:10]) + (f" and {len(layers) - 10} more" if len(layers) > 10 else "")
    return f"No norm with a scale is behind {shown}: the norm of the weights is taken instead."


def _percent(part: float) -> str:
    """As ``50 %`` and ``0.1 %``, never rounded to nothing."""
    return f"{100 * part:.3g}%"


def _fewer(before: tuple[LayerFacts, ...], after: tuple[LayerFacts, ...], what: Literal["parameters", "macs"]) -> int:
    return sum((getattr(old, what) or 0) - (getattr(new, what) or 0) for old, new in zip(before, after, strict=True))
