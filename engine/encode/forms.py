"""What the numbers of a tensor can be taken for: integers, multiples of a step, members of a codebook.

Each form is exact: what comes back has the same bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pith.packed.mixing import Ints
from pith.packed.tensors import BITS, FLOAT32, INT4, INTEGER_TYPES, MOST_VALUES, UINT4, Kind, integers_of, planes
from pith.packed.wire import Tensor

_FINEST, _MOST_STEPS = 16, 1 << 15
_BOOK_SHARE = 2


@dataclass(frozen=True)
class Book:
    """Distinct numbers, as the bits that they are, in the order of their values."""

    kind: Kind
    dtype: int
    values: NDArray[np.unsignedinteger]

    @property
    def written(self) -> bytes:
        if self.kind is Kind.HALVES:
            return planes(self.values.view("<f4").astype("<f2").tobytes(), 2)
        return planes(self.values.tobytes(), self.values.itemsize)


@dataclass(frozen=True)
class Form:
    """``numbers`` are what is coded; ``zero`` is what most of them may be near to, ``values`` goes to the bulk."""

    kind: Kind
    numbers: Ints
    zero: int = 0
    values: bytes = b""
    book: Book | None = None


def forms(tensor: Tensor, shared: Book | None) -> Iterator[Form]:
    """``shared`` is a book that several tensors have in common, this one among them."""
    if tensor.kind in (*INTEGER_TYPES, UINT4, INT4):
        count = int(np.prod(tensor.shape, dtype=np.int64))
        numbers = integers_of(tensor.data, tensor.kind, count)
        yield Form(Kind.INTEGERS, numbers, zero=_commonest(numbers))
        return
    if tensor.kind == FLOAT32:
        yield from _multiples(np.frombuffer(tensor.data, "<f4"))
    found = shared or book_of([tensor])
    if found is not None:
        yield _members(tensor, found)


def book_of(tensors: list[Tensor], always: bool = False) -> Book | None:
    """The distinct numbers of tensors of one dtype; None where there are too many for a codebook to be of use, or,
    with ``always``, for any codebook at all."""
    dtype = tensors[0].kind
    if BITS[dtype] < 16:
        return None
    bits = np.concatenate([_bits(tensor) for tensor in tensors])
    distinct = np.unique(bits)
    if not len(distinct) or len(distinct) > (
        MOST_VALUES if always else min(MOST_VALUES, max(1, len(bits) // _BOOK_SHARE))
    ):
        return None
    ordered = distinct[np.argsort(_rank(distinct), kind="stable")]
    return Book(Kind.HALVES if dtype == FLOAT32 and _halves(ordered) else Kind.CODEBOOK, dtype, ordered)


def _members(tensor: Tensor, book: Book) -> Form:
    order = np.argsort(book.values, kind="stable")
    places = order[np.searchsorted(book.values[order], _bits(tensor))].astype(np.int64)
    zeros = np.flatnonzero(book.values == 0)
    zero = int(zeros[0]) if len(zeros) else _commonest(places)
    return Form(book.kind, places, zero, book.written, book)


def _bits(tensor: Tensor) -> NDArray[np.unsignedinteger]:
    return np.frombuffer(tensor.data, f"<u{BITS[tensor.kind] // 8}")


def _rank(bits: NDArray[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
    """The order of floating-point numbers by their bits: negative ones turned over, -0 before 0, NaN outermost."""
    top = bits.dtype.type(1 << (8 * bits.itemsize - 1))
    found: NDArray[np.unsignedinteger] = np.where(bits & top, ~bits, bits | top)
    return found


def _halves(bits: NDArray[np.unsignedinteger]) -> bool:
    """Whether float16 holds these float32 numbers exactly."""
    numbers = bits.view("<f4")
    with np.errstate(over="ignore", invalid="ignore"):
        there = numbers.astype("<f2").astype("<f4")
    return bool(np.array_equal(there.view(bits.dtype), bits))


def _multiples(numbers: NDArray[np.float32]) -> Iterator[Form]:
    """Numbers that are a step, or a part of it, times an integer."""
    sizes = np.unique(np.abs(numbers))
    sizes = sizes[sizes > 0]
    if not 0 < len(sizes) <= _MOST_STEPS or not np.isfinite(sizes).all():
        return
    for part in range(1, _FINEST + 1):
        steps = round(float(sizes[-1]) / float(sizes[0]) * part)
        if steps > _MOST_STEPS:
            return
        nearest = np.float32(float(sizes[-1]) / steps)
        for step in (nearest, np.nextafter(nearest, np.float32(0)), np.nextafter(nearest, np.float32(np.inf))):
            found = np.rint(numbers.astype(np.float64) / float(step)) if step > 0 else np.zeros(len(numbers))
            again = found.astype(np.float32) * step
            if np.array_equal(again.view(np.uint32), numbers.view(np.uint32)):
                yield Form(Kind.GRID, found.astype(np.int64), values=np.array([step], "<f4").tobytes())
                return


def _commonest(numbers: Ints) -> int:
    """The number that occurs most often, near the middle where several do."""
    if not len(numbers):
        return 0
    values, counts = np.unique(numbers, return_counts=True)
    return int(values[np.argmax(counts)])
