"""What the steps share that store weights in 16-bit floating point."""

from math import prod
from typing import ClassVar

from pith.base import Change, Step
from pith.outlook import CONVOLUTIONS, Given, Outlook, Refusal, count_weights, names, share

LEAST = 32
"""Weights of a tensor that is worth halving."""
_OWNERS = (*CONVOLUTIONS, "Linear", "Embedding", "LSTM", "GRU", "RNN")


class Halves(Step):
    """Weights of two dimensions and more; biases and norms stay in float32."""

    changes: ClassVar[frozenset[Change]] = frozenset({"dtype"})

    def halved(self, given: Given, what: str) -> Outlook:
        layers = tuple(layer for layer in given.layers if layer.kind in _OWNERS and prod(layer.shape) >= LEAST)
        reason = f"the model has no weight of two dimensions or more and {LEAST} numbers"
        return Outlook(
            does=f"Stores {count_weights(layers)} of {share(len(layers), len(layers), 'layers')} as {what}.",
            touched=names(layers),
            refusals=()
            if layers or _elsewhere(given) >= LEAST
            else (Refusal(reason=reason, way_out="leave this step out"),),
        )


def _elsewhere(given: Given) -> int:
    """Parameters of modules that no facts tell of, such as recurrent ones."""
    return given.parameters - sum(layer.parameters for layer in given.layers)
