"""The one stretch of bits that range coding (constriction) makes of all tensors whose probabilities are modelled."""

import math

import constriction
import numpy as np
from numpy.typing import NDArray

from pith.packed.mixing import ONE, Ints
from pith.packed.numbers import malformed

BERNOULLI = constriction.stream.model.Bernoulli(perfect=False)
_STEPS = 8
MOST_SYMBOLS = 4096
_SHARES: Ints = np.array([1, *(round(64 * 2 ** (step / _STEPS)) for step in range(255))], np.int64)


def chances_of_one(chances: Ints) -> NDArray[np.float64]:
    """Parts of ``ONE`` as constriction wants them; exact."""
    return chances / float(ONE)


def categorical(shares: Ints) -> "constriction.stream.model.Categorical":
    return constriction.stream.model.Categorical(shares.astype(np.float64), perfect=False)


def shares_of(table: bytes) -> Ints:
    """What a table of one byte for each symbol says; 0 is for a symbol that does not occur."""
    return _SHARES[np.frombuffer(table, np.uint8)]


def table_of(counts: Ints) -> bytes:
    """The nearest table for these counts; logarithms, so that each share is right to a few per cent."""
    most = math.log2(max(1, int(counts.max())))
    found = [0 if not count else max(1, 255 - round(_STEPS * (most - math.log2(count)))) for count in counts.tolist()]
    return bytes(found)


class StreamReader:
    """Reads what was written, in the same order.

    Raises:
        PithError: ``packed_malformed`` where the bits cannot come from a writer.
    """

    def __init__(self, data: bytes) -> None:
        words = np.frombuffer(data + bytes(-len(data) % 4), "<u4").astype(np.uint32)
        self._decoder = constriction.stream.queue.RangeDecoder(words)

    def bits(self, chances: Ints, wanted: Ints | None) -> Ints:
        try:
            return np.asarray(self._decoder.decode(BERNOULLI, chances_of_one(chances)), np.int64)
        except AssertionError as error:
            raise malformed("its coded numbers are damaged") from error

    def symbols(self, shares: Ints, count: int, wanted: Ints | None) -> Ints:
        try:
            return np.asarray(self._decoder.decode(categorical(shares), count), np.int64)
        except AssertionError as error:
            raise malformed("its coded numbers are damaged") from error
