"""What a step foresees of itself from facts alone, before anything runs. Not covered: what only running can tell."""

from typing import Protocol

from pydantic import Field

from pith.base import Frozen
from pith.facts import LayerFacts

CONVOLUTIONS = frozenset(f"Conv{turned}{dims}d" for turned in ("", "Transpose") for dims in (1, 2, 3))


class Refusal(Frozen):
    """Why a step cannot work on this model or this data. ``field`` is the option that is wrong, as ``ignore/0``."""

    reason: str
    way_out: str
    field: str = ""


class Given(Frozen):
    """What a step meets: the model as the steps before it will leave it, and the training split.

    ``samples`` is None without one, or where it is not known yet; ``classes`` says whether labels are class numbers.
    """

    layers: tuple[LayerFacts, ...]
    parameters: int
    macs: int | None = None
    samples: int | None = None
    classes: bool = True

    def weighted(self) -> tuple[LayerFacts, ...]:
        """Convolutions and linear layers, which pruning and quantizing are about."""
        return tuple(layer for layer in self.layers if layer.kind == "Linear" or layer.kind in CONVOLUTIONS)


class Outlook(Frozen):
    """What a step will do. ``trained`` and ``run`` count samples that pass through the model, with and without a
    backward pass; ``batch`` is how many are in training at once."""

    does: str
    touched: tuple[str, ...] = ()
    left_alone: dict[str, str] = Field(default_factory=dict)
    after: tuple[LayerFacts, ...] | None = None
    parameters: int | None = None
    macs: int | None = None
    trained: int = 0
    run: int = 0
    batch: int = 0
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()


class Foresees(Protocol):
    """What every step class of a recipe can do. ``after``, ``parameters`` and ``macs`` are None where they stay."""

    def outlook(self, given: Given) -> Outlook: ...


def names(layers: tuple[LayerFacts, ...]) -> tuple[str, ...]:
    return tuple(layer.name for layer in layers)


def share(count: int, total: int, what: str) -> str:
    """``3 of 5 layers``; ``all 5 layers``."""
    return f"all {total} {what}" if count == total else f"{count} of {total} {what}"
