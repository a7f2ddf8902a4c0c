"""Probabilities of bits: counts under several contexts, mixed in the logistic domain, learnt while coding.

The mixing of lpaq and its family (Mahoney 2005, "Adaptive weighing of context models for lossless data compression"),
with one change: a whole array of bits is predicted from the same counts and then learnt at once, so that numpy does
the work. All is integer arithmetic, so every machine finds the same probabilities.
"""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

ONE = 1 << 16
"""Probabilities are counted in these parts."""
_LEAST = 24
_MOST_COUNTED = 255
_STEP, _BATCH, _WEIGHT_LIMIT = 300, 16, 8 << 16
_CONTEXTS_SHARE, _DENSITIES_SHARE = 1.0, 0.2

LOGARITHMS: Ints = np.array([round(256 * math.log(count + 0.4)) for count in range(1 << 13)], np.int64)
"""256 ln(n + 0.4) for counts n; the difference of two is the stretched probability of a bit."""
_SQUASHED: Ints = np.array([round(ONE / (1 + math.exp(-at / 256))) for at in range(-2560, 2561)], np.int64)


class Coder(Protocol):
    """Writes bits and numbers (``wanted`` is given) or reads them."""

    def bits(self, chances: Ints, wanted: Ints | None) -> Ints:
        """As many bits as there are ``chances`` of a one, which are in parts of ``ONE``."""

    def symbols(self, shares: Ints, count: int, wanted: Ints | None) -> Ints:
        """``count`` numbers, each from 0 on, of which number i has a part of ``shares[i]``."""


def squash(stretched: Ints) -> Ints:
    """The chance of a one, never so near to 0 or 1 that it could not be coded."""
    return np.clip(_SQUASHED[np.clip(stretched, -2560, 2560) + 2560], _LEAST, ONE - _LEAST)


def density(ones: Ints, of: Ints | int) -> Ints:
    """The stretched probability that a share of ones makes likely."""
    most = len(LOGARITHMS) - 1
    return LOGARITHMS[np.minimum(ones, most)] - LOGARITHMS[np.minimum(of - ones, most)]


class Bank:
    """Counts of zeros and ones for ``nodes`` decisions, each under several contexts, and the weights that mix them.

    ``sizes`` are the numbers of contexts, ``directs`` how many stretched probabilities come from outside, ``sets`` how
    many sets of weights there are to choose from.
    """

    def __init__(self, nodes: int, sizes: tuple[int, ...], directs: int, sets: int) -> None:
        self.nodes, self.sizes, self.directs = nodes, np.array(sizes)[:, None], directs
        self.starts = np.cumsum([0, *(nodes * size for size in sizes[:-1])])[:, None]
        self.counts = np.zeros((2, nodes * sum(sizes)), np.int32)
        shares = [_CONTEXTS_SHARE / len(sizes)] * len(sizes) + [_DENSITIES_SHARE] * directs + [0.0]
        self.weights = np.tile(np.array([int(ONE * share) for share in shares], np.int64), (sets, 1))

    def forget(self, context: int) -> None:
        """Start one of the contexts afresh."""
        start = int(self.starts[context, 0])
        self.counts[:, start : start + self.nodes * int(self.sizes[context, 0])] = 0

    def code(
        self, coder: Coder, contexts: Ints, node: Ints | int, chosen: int, wanted: Ints | None, directs: Ints | None
    ) -> Ints:
        """Bits of shape (n,) under ``contexts`` of shape (kinds, n) at decision ``node``, with weights ``chosen``."""
        index = self.starts + node * self.sizes + contexts
        count = index.shape[1]
        inputs = np.zeros((len(index) + self.directs + 1, count), np.int64)
        inputs[: len(index)] = LOGARITHMS[self.counts[1][index]] - LOGARITHMS[self.counts[0][index]]
        if directs is not None:
            inputs[len(index) : -1] = directs
        inputs[-1] = 256
        weights = self.weights[chosen]
        chances = squash((inputs * weights[:, None]).sum(0) >> 16)
        bits = coder.bits(chances, wanted)
        slope = (inputs * ((bits << 16) - chances)).sum(1)
        weights += (slope * _STEP >> 24) // max(1, count // _BATCH)
        np.clip(weights, -_WEIGHT_LIMIT, _WEIGHT_LIMIT, out=weights)
        self._count(index, bits)
        return bits

    def _count(self, index: Ints, bits: Ints) -> None:
        one = bits == 1
        np.add.at(self.counts[1], index[:, one].ravel(), 1)
        np.add.at(self.counts[0], index[:, ~one].ravel(), 1)
        over = index[self.counts[0][index] + self.counts[1][index] > _MOST_COUNTED]
        while len(over):
            self.counts[:, over] >>= 1
            over = over[self.counts[0][over] + self.counts[1][over] > _MOST_COUNTED]


class Counts:
    """Bits that hang on little: counts for each context, no mixing."""

    def __init__(self, size: int) -> None:
        self.counts = np.zeros((2, size), np.int64)

    def code(self, coder: Coder, contexts: Ints, wanted: Ints | None) -> Ints:
        chances = squash(LOGARITHMS[self.counts[1][contexts]] - LOGARITHMS[self.counts[0][contexts]])
        bits = coder.bits(chances, wanted)
        np.add.at(self.counts[1], contexts[bits == 1], 1)
        np.add.at(self.counts[0], contexts[bits == 0], 1)
        while (full := self.counts.sum(0) > 4 * _MOST_COUNTED).any():
            self.counts[:, full] >>= 1
        return bits
