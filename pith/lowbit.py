"""What steps share that store weights in few bits: which layers, in how large groups, and what that refuses."""

from collections.abc import Iterator
from math import gcd, prod
from typing import ClassVar, Literal

from pydantic import Field

from pith.base import Change, Need, Step
from pith.facts import LayerFacts
from pith.outlook import CONVOLUTIONS, Given, Refusal
from pith.patterns import LayerPattern, named_by, unmatched

Bits = Literal[2, 3, 4, 5, 6, 8]
MEASURED = (
    "What rounding does to the outputs is measured when the job runs, and is not known before: a model whose outputs "
    "would hold hardly more signal than noise is refused then, with the layer that loses most and the bits that may do."
)
MATRICES = ("Linear", "Embedding")
# The moments of more inputs would take more than half a gigabyte.
MOST_INPUTS = 8192
STORED = (
    "Computes in floating point: ONNX Runtime unpacks the weights once when it loads the file, so the file is small, "
    "and speed and memory while running stay those of the float model. "
)


class LowBit(Step):
    """Weights of convolutions, linear layers and embeddings on a grid of few levels."""

    changes: ClassVar[frozenset[Change]] = frozenset({"dtype"})

    group_size: int | None = Field(
        None,
        ge=8,
        le=4096,
        description="Neighbouring weights of a linear layer or embedding that share a scale; null means a whole output "
        "channel, as convolutions always have it.",
    )
    ignore: tuple[LayerPattern, ...] = Field(
        (), max_length=100, description="Layers that stay in floating point, as shell patterns over their names."
    )

    def packable(self, given: Given) -> tuple[LayerFacts, ...]:
        """The layers that this kind of step is about, whether ignored or not."""
        return tuple(layer for layer in given.layers if layer.kind in CONVOLUTIONS or layer.kind in MATRICES)

    def chosen(self, given: Given) -> tuple[LayerFacts, ...]:
        ignored = named_by(self.ignore, (layer.name for layer in self.packable(given)))
        return tuple(layer for layer in self.packable(given) if layer.name not in ignored)

    def alone(self, given: Given) -> dict[str, str]:
        found = named_by(self.ignore, (layer.name for layer in self.packable(given)))
        return {name: f"ignored ({pattern})" for name, pattern in found.items()}

    def refused(self, given: Given) -> tuple[Refusal, ...]:
        """What can be known before anything runs."""
        packable, chosen = self.packable(given), self.chosen(given)
        if not packable:
            reason = "the model has no convolution, no linear layer and no embedding"
            return (Refusal(reason=reason, way_out="leave this step out"),)
        found = tuple(unmatched(self.ignore, (layer.name for layer in packable), "ignore"))
        if not found and not chosen:
            found = (Refusal(reason="ignore leaves no layer", way_out="ignore fewer layers", field="ignore"),)
        return (*found, *self._groups(chosen, given.model.trainable))

    def few(self, bits: int) -> tuple[str, ...]:
        """What a plan cannot know of so few bits."""
        if bits >= 4:
            return ()
        seen = "is measured when the job runs, and too little is refused then"
        return (
            f"Whether {bits} bits leave enough of each layer {seen}; quantize.mixed finds the layers that need more.",
        )

    def _groups(self, layers: tuple[LayerFacts, ...], oriented: bool) -> Iterator[Refusal]:
        if self.group_size is None:
            return
        matrices = [layer for layer in layers if layer.kind in MATRICES]
        if layers and not matrices:
            way_out = "leave group_size out; a convolution has a scale for each output channel"
            yield Refusal(reason="the model has no linear layer and no embedding", way_out=way_out, field="group_size")
        for layer in matrices:
            sizes = _inputs(layer) if oriented or layer.inputs is not None else layer.shape
            if all(size % self.group_size for size in sizes):
                yield group_refusal(layer.name, sizes[0], self.group_size)


class Learned(LowBit):
    """Rounding that is learned from calibration data."""

    needs: ClassVar[frozenset[Need]] = frozenset({"calibration_data"})
    # The layers are run one by one, so that a finished graph will not do.
    changes: ClassVar[frozenset[Change]] = frozenset({"values", "dtype"})

    iterations: int = Field(
        500,
        ge=0,
        le=100_000,
        description="Steps of gradient descent for each layer, over all calibration data; 0 leaves coordinate descent.",
    )
    calibration_samples: int = Field(256, ge=1, le=100_000, description="Samples that the rounding is learned from.")

    def calibrated(self, given: Given) -> int:
        return min(self.calibration_samples, given.samples or self.calibration_samples)

    def unlearned(self, given: Given) -> tuple[str, ...]:
        """A note on the layers whose rounding is not learned."""
        left = [
            each.name for each in self.chosen(given) if each.kind == "Embedding" or prod(each.shape[1:]) > MOST_INPUTS
        ]
        return (f"Rounded to the nearest level, and not learned: {', '.join(left)}.",) if left else ()


def _inputs(layer: LayerFacts) -> tuple[int, ...]:
    return layer.shape[1:] if layer.inputs is None else (layer.inputs,)


def group_refusal(layer: str, size: int, group_size: int) -> Refusal:
    """``group_size`` does not divide the inputs of a layer."""
    return Refusal(
        reason=f"{layer} has {size} inputs, which do not divide into groups of {group_size}",
        way_out=group_way_out(layer, size, group_size),
        field="group_size",
    )


def group_way_out(layer: str, size: int, group_size: int) -> str:
    fitting = max(8, gcd(size, group_size))
    choice = f"use group_size={fitting}, or ignore" if size % fitting == 0 else "leave group_size out, or ignore"
    return f'{choice} the layer ("ignore": ["{layer}"])'
