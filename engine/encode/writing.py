"""What is only done when writing: the range encoder, what it would make of numbers, and the best plain compression."""

import lzma
import zlib

import constriction
import numpy as np

from pith.packed.dictionary import DICTIONARY
from pith.packed.mixing import ONE, Ints
from pith.packed.sections import DEFLATE, LZMA_CODERS, STORED, expand, filters, section
from pith.packed.stream import BERNOULLI, categorical, chances_of_one

_LARGE = 1 << 20
_BITS = -np.log2(np.maximum(np.arange(ONE + 1), 1) / ONE)


class StreamWriter:
    """Takes bits and numbers in order; ``written`` is what ``StreamReader`` reads."""

    def __init__(self) -> None:
        self._encoder = constriction.stream.queue.RangeEncoder()

    def bits(self, chances: Ints, wanted: Ints | None) -> Ints:
        assert wanted is not None
        self._encoder.encode(wanted.astype(np.int32), BERNOULLI, chances_of_one(chances))
        return wanted

    def symbols(self, shares: Ints, count: int, wanted: Ints | None) -> Ints:
        assert wanted is not None
        self._encoder.encode(wanted.astype(np.int32), categorical(shares))
        return wanted

    def written(self) -> bytes:
        found: bytes = self._encoder.get_compressed().astype("<u4").tobytes()
        return found.rstrip(b"\0")


class Trial:
    """Keeps what it is given, and counts the ``bytes`` that a ``StreamWriter`` would make of it."""

    def __init__(self) -> None:
        self._bits = 0.0
        self._given: list[tuple[Ints, Ints]] = []

    @property
    def bytes(self) -> float:
        return self._bits / 8

    def bits(self, chances: Ints, wanted: Ints | None) -> Ints:
        assert wanted is not None
        self._bits += float(_BITS[np.where(wanted == 1, chances, ONE - chances)].sum())
        self._given.append((chances, wanted))
        return wanted

    def symbols(self, shares: Ints, count: int, wanted: Ints | None) -> Ints:
        raise AssertionError("only bits are tried")

    def write(self, writer: StreamWriter) -> None:
        chances, wanted = (np.concatenate(each) for each in zip(*self._given, strict=True))
        writer.bits(chances, wanted)


def smallest_section(data: bytes) -> tuple[str, bytes]:
    """What was smallest, and the section."""
    deflated = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zdict=DICTIONARY)
    found = {STORED: data, DEFLATE: deflated.compress(data) + deflated.flush()}
    coders = [*LZMA_CODERS][:2] if len(data) > _LARGE else [*LZMA_CODERS]
    found |= {coder: _lzma(coder, data) for coder in coders if data}
    coder = min(found, key=lambda one: (len(found[one]), one))
    name = {STORED: "bytes", DEFLATE: "deflate"}.get(coder, "lzma")
    return name, section(coder, len(data), found[coder])


def _lzma(coder: int, data: bytes) -> bytes:
    """Without the mark of the end and what else the reader, which knows the length, does not need."""
    whole = lzma.compress(data, lzma.FORMAT_RAW, filters=filters(coder, len(data)))
    if len(data) > _LARGE:
        return whole
    while whole and expand(coder, whole[:-1], len(data)) == data:
        whole = whole[:-1]
    return whole
