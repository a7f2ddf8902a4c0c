"""From a skeleton and its tensors to the packed file: every tensor in each form, by each coder, the smallest kept."""

import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import isqrt

import numpy as np

from engine.encode.forms import Book, Form, book_of, forms
from engine.encode.writing import StreamWriter, Trial, smallest_section
from pith.packed.container import FREE_BYTES, MAGIC, MOST_RATIO
from pith.packed.contexts import LARGEST, Memory, size_class
from pith.packed.layout import Layout, layout
from pith.packed.mixing import Ints
from pith.packed.numbers import varint
from pith.packed.stream import MOST_SYMBOLS, shares_of, table_of
from pith.packed.tensors import FEWEST_CODED, MOST_CODED, Coding, Entry, Kind, planes, width_of
from pith.packed.wire import Tensor, with_initializers

_SMALL = 2048
"""Tensors up to so many bytes share one section."""
_MOST_VARIED, _MOST_MODELLED = 1 << 19, 1 << 25


@dataclass(frozen=True)
class Packed:
    """The file, the ONNX file that comes out of it, and how many bytes of tensors each coder took."""

    data: bytes
    model: bytes
    won: Counter[str]


def pack(skeleton: bytes, tensors: list[Tensor]) -> Packed:
    """The smallest file found for a canonical model."""
    model = with_initializers(skeleton, tensors)
    packer = _Packer(tensors)
    for tensor in tensors:
        packer.add(tensor)
    return Packed(packer.written(skeleton, model), model, packer.won)


@dataclass(frozen=True)
class _Option:
    """A way to keep a tensor, what it costs, and what keeps it."""

    bytes: float
    name: str
    entry: Entry
    keep: Callable[[], None]
    book: Book | None = None


class _Packer:
    def __init__(self, tensors: list[Tensor]) -> None:
        self.memory, self.writer = Memory(), StreamWriter()
        self.entries: list[Entry] = []
        self.bulk: list[bytes] = []
        self.owned: list[bytes] = []
        self.won: Counter[str] = Counter()
        self.shared = shared_books(tensors)
        self.latest: dict[tuple[Kind, int], Book] = {}
        self.modelled = 0

    def add(self, tensor: Tensor) -> None:
        best = min(self._options(tensor), key=lambda option: option.bytes)
        best.keep()
        self.entries.append(best.entry)
        self.won[best.name] += best.entry.size
        if best.book is not None:
            self.latest[best.book.kind, best.book.dtype] = best.book

    def written(self, skeleton: bytes, model: bytes) -> bytes:
        entries = b"".join(entry.written() for entry in self.entries)
        head = varint(len(skeleton)) + skeleton + varint(len(self.entries)) + entries
        parts = [MAGIC, varint(len(model)), zlib.crc32(model).to_bytes(4, "little")]
        parts += [smallest_section(head)[1], smallest_section(b"".join(self.bulk))[1], *self.owned]
        found = b"".join([*parts, self.writer.written()])
        return found + bytes(max(0, -(-(len(model) - FREE_BYTES) // MOST_RATIO) - len(found)))

    def _options(self, tensor: Tensor) -> Iterator[_Option]:
        yield self._plain(tensor, Form(Kind.BYTES, np.zeros(0, np.int64)), tensor.data)
        for form in forms(tensor, self.shared.get(tensor.name)):
            if form.kind is not Kind.INTEGERS and (extent := _extent(form.numbers)):
                low = int(form.numbers.min())
                data = (form.numbers - low).astype(f"<u{extent}").tobytes()
                yield self._plain(tensor, form, data, base=low, extent=extent)
            yield from self._static(tensor, form)
            yield from self._contexts(tensor, form)

    def _entry(self, tensor: Tensor, form: Form, coding: Coding, **more: int) -> Entry:
        known = form.book is not None and self._known(form.book)
        values = len(form.book.values) if form.book is not None and not known else 0
        transposed = bool(more.pop("transposed", False))
        return Entry(tensor.kind, tensor.shape, form.kind, coding, transposed, values, **more)

    def _known(self, book: Book) -> bool:
        return self.latest.get((book.kind, book.dtype)) is book

    def _values(self, form: Form) -> bytes:
        return b"" if form.book is not None and self._known(form.book) else form.values

    def _plain(self, tensor: Tensor, form: Form, data: bytes, **more: int) -> _Option:
        """As bytes: with the other small ones, or in a section of its own."""
        values = self._values(form)
        probe = self._entry(tensor, form, Coding.BULK, **more)
        split = planes(data, more.get("extent") or width_of(probe))
        if len(data) <= _SMALL:
            keep = partial(self.bulk.extend, [values, split])
            return _Option(len(values) + len(split), "bytes", probe, keep, form.book)
        name, section = smallest_section(split)

        def keep_own() -> None:
            self.bulk.append(values)
            self.owned.append(section)

        entry = self._entry(tensor, form, Coding.OWN, **more)
        return _Option(len(values) + len(section), name, entry, keep_own, form.book)

    def _static(self, tensor: Tensor, form: Form) -> Iterator[_Option]:
        if len(form.numbers) < FEWEST_CODED:
            return
        low = int(form.numbers.min())
        extent = int(form.numbers.max()) - low + 1
        if not 2 <= extent <= MOST_SYMBOLS:
            return
        counts = np.bincount(form.numbers - low, minlength=extent)
        table = table_of(counts)
        shares = shares_of(table)
        bits = -float((counts * np.log2(shares / shares.sum())).sum())
        values = self._values(form)

        def keep() -> None:
            self.bulk.extend([values, table])
            self.writer.symbols(shares, len(form.numbers), form.numbers - low)

        entry = self._entry(tensor, form, Coding.STATIC, base=low, extent=extent)
        yield _Option(len(values) + len(table) + bits / 8, "order-0 range coding", entry, keep, form.book)

    def _contexts(self, tensor: Tensor, form: Form) -> Iterator[_Option]:
        count = len(form.numbers)
        centred = form.numbers - form.zero
        too_many = self.modelled + count > _MOST_MODELLED
        if not FEWEST_CODED <= count <= MOST_CODED or too_many or int(np.abs(centred).max()) > LARGEST:
            return
        values, classes = self._values(form), int(size_class(centred).max())
        for lying, width, transposed in _layouts(tensor.shape):
            numbers = centred.reshape(tensor.shape).T.ravel() if transposed else centred
            trial, memory = Trial(), self.memory.forked(lying)
            memory.code(trial, lying, classes, numbers)
            keep = partial(self._keep_modelled, values, trial, memory, count)
            more = {"base": form.zero, "extent": classes, "width": width, "transposed": transposed}
            entry = self._entry(tensor, form, Coding.CONTEXTS, **more)
            yield _Option(len(values) + trial.bytes, "context modelling", entry, keep, form.book)

    def _keep_modelled(self, values: bytes, trial: Trial, memory: Memory, count: int) -> None:
        self.bulk.append(values)
        trial.write(self.writer)
        self.memory = memory
        self.modelled += count


def shared_books(tensors: list[Tensor]) -> dict[str, Book]:
    """One codebook for all vectors, or for all others, of a dtype, where that is shorter than one for each."""
    found: dict[str, Book] = {}
    groups: dict[tuple[int, bool], list[Tensor]] = {}
    for tensor in tensors:
        if tensor.data:
            groups.setdefault((tensor.kind, len(tensor.shape) < 2), []).append(tensor)
    for group in groups.values():
        books = [(tensor, book) for tensor in group if (book := book_of([tensor], always=True)) is not None]
        book = book_of([tensor for tensor, _ in books]) if len(books) > 1 else None
        if book is not None and len(book.written) < 0.75 * sum(len(own.written) for _, own in books):
            found |= {tensor.name: book for tensor, _ in books}
    return found


def _extent(numbers: Ints) -> int:
    """Bytes for each number, counted from the lowest; 0 where four are too few."""
    if not len(numbers):
        return 0
    spread = int(numbers.max()) - int(numbers.min())
    return next((width for width in (1, 2, 4) if spread < 1 << (8 * width)), 0)


def _layouts(shape: tuple[int, ...]) -> Iterator[tuple[Layout, int, bool]]:
    """Ways to lay a tensor: as it is, a matrix also as one that reads a picture, and with rows for columns."""
    plain = layout(shape)
    if plain is None:
        return
    yield plain, 0, False
    if len(shape) != 2 or plain.count > _MOST_VARIED or min(shape) < 2:
        return
    for width in _widths(shape[1]):
        found = layout(shape, width)
        if found is not None:
            yield found, width, False
    turned = layout(shape[::-1], turned=True)
    if turned is not None:
        yield turned, 0, True


def _widths(columns: int) -> list[int]:
    """Of square pictures, one or several channels of them, as wide as the columns allow."""
    side = isqrt(columns)
    if side * side == columns and side >= 8:
        return [side]
    return [size for size in (16, 14, 12, 8, 7, 6, 5, 4) if columns % (size * size) == 0 and columns > size * size][:2]
