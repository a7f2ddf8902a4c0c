"""How one tensor is kept: what its numbers become (``Kind``), and how those are coded (``Coding``).

    BYTES      the tensor's own bytes, all first bytes of its numbers first, then all second ones, …
    INTEGERS   an integer tensor's numbers
    GRID       float32: a step and how many of them each number is
    CODEBOOK   the distinct numbers, and which of them each number is
    HALVES     the same for float32, the distinct numbers as float16

    BULK       bytes in the section that small tensors share
    OWN        bytes in a section of the tensor's own
    CONTEXTS   range coding with the chances of ``contexts``
    STATIC     range coding with one table of shares

Integers that are kept as bytes are counted from their lowest; those of CONTEXTS from a centre.
"""

from dataclasses import dataclass
from enum import IntEnum
from math import prod

import numpy as np

from pith.packed.contexts import LARGEST, Memory, size_class
from pith.packed.layout import layout
from pith.packed.mixing import Coder, Ints
from pith.packed.numbers import Reader, folded, malformed, unfolded, varint
from pith.packed.stream import MOST_SYMBOLS, shares_of
from pith.packed.wire import Tensor

BITS: dict[int, int] = {
    **dict.fromkeys((2, 3, 9, 17, 19), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((7, 11, 13), 64),
    **dict.fromkeys((21, 22), 4),
}
"""Bits of one number, by ONNX's number of the dtype; a tensor of any other stays in the skeleton."""
INTEGER_TYPES: dict[int, str] = {2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "u1", 12: "<u4"}
UINT4, INT4, FLOAT32 = 21, 22, 1
MOST_RANK, MOST_TENSORS, MOST_VALUES = 16, 100_000, 4096
FEWEST_CODED, MOST_CODED = 16, 1 << 23
"""Numbers of a tensor that is coded with contexts."""


class Kind(IntEnum):
    BYTES = 0
    INTEGERS = 1
    GRID = 2
    CODEBOOK = 3
    HALVES = 4


class Coding(IntEnum):
    BULK = 0
    OWN = 1
    CONTEXTS = 2
    STATIC = 3


@dataclass(frozen=True)
class Entry:
    """What the head says of a tensor. ``base`` is what was subtracted from its integers, ``extent`` the bytes of each,
    the largest size class or the number of symbols, as the coding wants; ``values`` the length of its codebook, 0 for
    the latest one of the same kind and dtype."""

    dtype: int
    shape: tuple[int, ...]
    kind: Kind
    coding: Coding
    transposed: bool = False
    values: int = 0
    base: int = 0
    extent: int = 0
    width: int = 0

    @property
    def count(self) -> int:
        return prod(self.shape)

    @property
    def size(self) -> int:
        """In bytes, as ONNX keeps it."""
        return -(-self.count * BITS[self.dtype] // 8)

    @property
    def coded_shape(self) -> tuple[int, ...]:
        return self.shape[::-1] if self.transposed else self.shape

    def written(self) -> bytes:
        how = self.kind | self.coding << 3 | self.transposed << 6
        numbers = [how, self.dtype, len(self.shape), *self.shape]
        if self.kind in (Kind.CODEBOOK, Kind.HALVES):
            numbers.append(self.values)
        if self.kind is not Kind.BYTES:
            numbers += [folded(self.base), self.extent]
            if self.coding is Coding.CONTEXTS and len(self.shape) == 2:
                numbers.append(self.width)
        return b"".join(map(varint, numbers))


def read_entry(reader: Reader, room: int) -> Entry:
    """The next entry, of a tensor that has no more than ``room`` bytes.

    Raises:
        PithError: ``packed_malformed``.
    """
    how, dtype = reader.number(127), reader.number(255)
    if (how & 7) not in Kind._value2member_map_ or dtype not in BITS:
        raise malformed(f"a tensor is of the kind {how & 7} and the dtype {dtype}")
    kind, coding = Kind(how & 7), Coding(how >> 3 & 3)
    shape = tuple(reader.number(1 << 40) for _ in range(reader.number(MOST_RANK)))
    values = reader.number(MOST_VALUES) if kind in (Kind.CODEBOOK, Kind.HALVES) else 0
    base = extent = width = 0
    if kind is not Kind.BYTES:
        base, extent = unfolded(reader.number((1 << 64) - 1)), reader.number(MOST_SYMBOLS)
        if coding is Coding.CONTEXTS and len(shape) == 2:
            width = reader.number(1 << 16)
    entry = Entry(dtype, shape, kind, coding, bool(how >> 6 & 1), values, base, extent, width)
    _check(entry, room)
    return entry


def _check(entry: Entry, room: int) -> None:
    if entry.size > room:
        raise malformed(f"a tensor of {entry.size} bytes is in a file that has {room} left for it")
    if entry.transposed and len(entry.shape) != 2:
        raise malformed("a tensor that is no matrix is transposed")
    if entry.kind is Kind.INTEGERS and entry.dtype not in (*INTEGER_TYPES, UINT4, INT4):
        raise malformed(f"a tensor of the dtype {entry.dtype} is kept as integers")
    if entry.kind in (Kind.GRID, Kind.HALVES) and entry.dtype != FLOAT32:
        raise malformed(f"a tensor of the dtype {entry.dtype} is kept as float32")
    if entry.kind is Kind.CODEBOOK and BITS[entry.dtype] < 16:
        raise malformed(f"a tensor of the dtype {entry.dtype} has a codebook")
    if entry.kind is Kind.BYTES and entry.coding in (Coding.CONTEXTS, Coding.STATIC):
        raise malformed("bytes are coded as integers")
    if entry.coding is Coding.CONTEXTS and not FEWEST_CODED <= entry.count <= MOST_CODED:
        raise malformed(f"{entry.count} numbers are coded with contexts")


class TensorReader:
    """Reads tensors in the order they were written, from the bulk, from sections of their own and from the stream."""

    def __init__(self, bulk: bytes, owned: list[bytes], coder: Coder) -> None:
        self.bulk, self.owned, self.coder, self.memory = Reader(bulk), owned, coder, Memory()
        self.books: dict[tuple[Kind, int], bytes] = {}

    def read(self, entry: Entry, name: str) -> Tensor:
        return Tensor(name, entry.dtype, entry.shape, self._data(entry))

    def _data(self, entry: Entry) -> bytes:
        if entry.kind is Kind.BYTES:
            return joined(self._plain(entry, entry.size), width_of(entry))
        values = self._values(entry)
        found = self._integers(entry)
        if entry.transposed:
            found = found.reshape(entry.coded_shape).T.ravel()
        if entry.kind is Kind.INTEGERS:
            return integer_bytes(found, entry.dtype)
        if entry.kind is Kind.GRID:
            with np.errstate(over="ignore", invalid="ignore"):  # a broken file's; its checksum tells
                steps = found.astype(np.float32) * np.frombuffer(values, "<f4")[0]
            return bytes(steps.astype("<f4").tobytes())
        book = np.frombuffer(joined(values, np.dtype(book_type(entry)).itemsize), book_type(entry))
        if len(found) and not (found.min() >= 0 and found.max() < len(book)):
            raise malformed("a number is none of its codebook")
        numbers = book.astype("<f4") if entry.kind is Kind.HALVES else book
        return numbers[found].tobytes()

    def _values(self, entry: Entry) -> bytes:
        if entry.kind is Kind.GRID:
            return self.bulk.take(4)
        if entry.kind is Kind.INTEGERS:
            return b""
        if entry.values:
            self.books[entry.kind, entry.dtype] = self.bulk.take(entry.values * np.dtype(book_type(entry)).itemsize)
        return self.books.get((entry.kind, entry.dtype), b"")

    def _plain(self, entry: Entry, size: int) -> bytes:
        if entry.coding is Coding.BULK:
            return self.bulk.take(size)
        found = self.owned.pop(0)
        if len(found) != size:
            raise malformed(f"a tensor has {len(found)} bytes and should have {size}")
        return found

    def _integers(self, entry: Entry) -> Ints:
        if entry.coding is Coding.CONTEXTS:
            lying = layout(entry.coded_shape, entry.width, entry.transposed)
            if lying is None or entry.extent > int(size_class(np.array([LARGEST]))[0]):
                raise malformed("a tensor is too wide, or its numbers are too large")
            return self.memory.code(self.coder, lying, entry.extent, None) + entry.base
        if entry.coding is Coding.STATIC:
            if entry.extent < 2:
                raise malformed("a table has less than two symbols")
            shares = shares_of(self.bulk.take(entry.extent))
            return self.coder.symbols(shares, entry.count, None) + entry.base
        if entry.extent not in (1, 2, 4):
            raise malformed(f"integers have {entry.extent} bytes")
        found = joined(self._plain(entry, entry.count * entry.extent), entry.extent)
        return np.frombuffer(found, f"<u{entry.extent}").astype(np.int64) + entry.base


def width_of(entry: Entry) -> int:
    return max(1, BITS[entry.dtype] // 8)


def book_type(entry: Entry) -> str:
    """Distinct numbers are kept as the bits that they are."""
    return "<f2" if entry.kind is Kind.HALVES else f"<u{width_of(entry)}"


def planes(data: bytes, width: int) -> bytes:
    """All first bytes of numbers of ``width`` bytes, then all second ones, …"""
    return np.frombuffer(data, np.uint8).reshape(-1, width).T.tobytes() if data else b""


def joined(data: bytes, width: int) -> bytes:
    """``planes`` undone."""
    return np.frombuffer(data, np.uint8).reshape(width, -1).T.tobytes() if data else b""


def integer_bytes(numbers: Ints, dtype: int) -> bytes:
    if dtype not in (UINT4, INT4):
        return numbers.astype(INTEGER_TYPES[dtype]).tobytes()
    halves = np.zeros(-(-len(numbers) // 2) * 2, np.uint8)
    halves[: len(numbers)] = numbers & 15
    return (halves[::2] | halves[1::2] << 4).astype(np.uint8).tobytes()


def integers_of(data: bytes, dtype: int, count: int) -> Ints:
    """The numbers of an integer tensor; four bits are two to a byte, the lower ones first."""
    if dtype not in (UINT4, INT4):
        return np.frombuffer(data, INTEGER_TYPES[dtype]).astype(np.int64)
    pairs = np.frombuffer(data, np.uint8)
    halves = np.stack([pairs & 15, pairs >> 4], 1).ravel()[:count].astype(np.int64)
    return halves - 16 * (halves > 7) if dtype == INT4 else halves
