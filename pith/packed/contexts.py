"""The model of a tensor of small integers: which are zero, how large the others are, and their signs.

Every number is a few binary decisions, as in DeepCABAC (Wiedemann et al. 2019, arXiv 1907.11900), whose chances come
from what is already known around it: the same place in earlier rows, the rows and columns that are rich or poor (a
picture's border is dead to the first layer), neighbours in the row, and the row of the layer before that made this
column. A row is coded in three interleaved passes, so that the later ones know both neighbours; all bits of a pass are
one call, which is what makes it fast. Writer and reader run the same code.
"""

from copy import copy, deepcopy
from dataclasses import dataclass

import numpy as np

from pith.packed.layout import Layout
from pith.packed.mixing import Bank, Coder, Counts, Ints, density

DECISIONS = 64
LARGEST = (1 << 30) - 1
"""The largest magnitude that can be coded."""
_PASSES = 3
_COLUMNS = 4096
_FORGET_AFTER = 128
_VECTOR_COLUMNS = 16
_SIZE_CONTEXTS = (256, 384, 256, 256, 256, 1024, 1, 256, 256)
_SIGN_CONTEXTS = (27, 27, 9, 16, 1)
_BUCKETS: Ints = np.array(
    [
        0 if at < 4 else min(15, 1 + next(k for k in range(32) if at**20 < (4**20) * 2 ** (13 * (k + 1))))
        for at in range(4096)
    ],
    np.int64,
)


def size_class(numbers: Ints) -> Ints:
    """0 for zero, then 1, 2, 3, 4 for themselves, then two classes for every doubling of the magnitude less one."""
    less = np.abs(numbers) - 1
    power = np.frexp(np.maximum(less, 1).astype(np.float64))[1] - 1
    found = np.where(less < 2, less, 2 * power + ((less >> np.maximum(power - 1, 0)) & 1))
    return np.where(numbers == 0, 0, found + 1).astype(np.int64)


class Memory:
    """What has been learnt from the tensors so far, those of vectors apart from those of layers."""

    def __init__(self) -> None:
        self.layers, self.vectors = _Learnt(_COLUMNS), _Learnt(_VECTOR_COLUMNS)
        self.richness: list[Ints] = []

    def forked(self, shape: Layout) -> "Memory":
        """One that may learn from a tensor of this shape while this one does not."""
        found = copy(self)
        if shape.vector:
            found.vectors = deepcopy(self.vectors)
        else:
            found.layers = deepcopy(self.layers)
        return found

    def code(self, coder: Coder, shape: Layout, classes: int, wanted: Ints | None) -> Ints:
        """Write the integers ``wanted``, or read as many; none is of a size class above ``classes``."""
        learnt = self.vectors if shape.vector else self.layers
        coded = _Tensor(coder, shape, classes, learnt, self._linked(shape)).run(wanted)
        if not shape.vector:
            self.richness = [*self.richness[-3:], coded.richness]
        return coded.numbers

    def _linked(self, shape: Layout) -> Ints:
        """How rich the output was that feeds each column, of the latest layer that fits; zeros where none does."""
        for rows in () if shape.turned else reversed(self.richness):
            if shape.columns == len(rows) * shape.kernel or (shape.kernel == 1 and shape.columns % len(rows) == 0):
                return np.repeat(rows, shape.columns // len(rows))
        return np.zeros(shape.columns, np.int64)


class _Learnt:
    """The first context of either bank is the column."""

    def __init__(self, columns: int) -> None:
        self.sizes = Bank(DECISIONS, (columns, *_SIZE_CONTEXTS), directs=3, sets=8 * _PASSES)
        self.signs = Bank(1, (columns, *_SIGN_CONTEXTS), directs=0, sets=_PASSES)
        self.rest = Counts(64 * 8)


@dataclass(frozen=True)
class _Coded:
    numbers: Ints
    richness: Ints


@dataclass(frozen=True)
class _Places:
    """Numbers of one pass: their row within the turn, their column, and their place in the tensor."""

    row: Ints
    column: Ints
    place: Ints

    def at(self, chosen: Ints) -> "_Places":
        return _Places(self.row[chosen], self.column[chosen], self.place[chosen])


@dataclass
class _Columns:
    """What earlier rows say of each column, with a margin on both sides."""

    sizes: Ints
    filled: Ints
    weight: int = 0
    rows: int = 0

    def add(self, sizes: Ints) -> None:
        self.sizes += sizes.sum(0)
        self.filled += (sizes > 0).sum(0)
        self.weight += len(sizes)
        self.rows += len(sizes)
        if self.weight > _FORGET_AFTER:
            self.sizes -= self.sizes >> 1
            self.weight -= self.weight >> 1


@dataclass(frozen=True)
class _Rows:
    """The rows of one turn, as far as they are known, with a margin on both sides; and what is known of them."""

    sizes: Ints
    numbers: Ints
    total: Ints
    filled: Ints


@dataclass(frozen=True)
class _Above:
    """For every column of a turn: contexts that hang on earlier rows alone."""

    mean: Ints
    around: Ints
    before: Ints
    signs: Ints
    narrow: Ints
    wide: Ints


class _Tensor:
    """One tensor on its way through the coder."""

    def __init__(self, coder: Coder, shape: Layout, classes: int, learnt: _Learnt, linked: Ints) -> None:
        self.coder, self.shape, self.learnt, self.linked = coder, shape, learnt, linked
        self.depth = max(0, (classes - 1).bit_length())
        self.margin = max(2 * shape.near[1] + 2, shape.far)
        self.inside = slice(self.margin, self.margin + shape.columns)
        self.columns = _Columns(*np.zeros((2, shape.columns + 2 * self.margin), np.int64))
        self.latest = np.zeros((2, shape.columns), np.int64)
        learnt.sizes.forget(0)
        learnt.signs.forget(0)

    def run(self, wanted: Ints | None) -> _Coded:
        shape = self.shape
        numbers = np.zeros(shape.count, np.int64)
        every = np.arange(shape.columns)
        passes = [every[every % 4 == 0], every[every % 4 == 2], every[every % 2 == 1]]
        for first in range(0, shape.rows, shape.rows_at_once):
            count = min(shape.rows_at_once, shape.rows - first)
            rows, above, known = self._rows(count), self._above(), 0
            for turn, columns in enumerate(passes):
                places = self._places(first, count, columns)
                if len(places.place):
                    found = self._pass(
                        turn, places, rows, above, known, None if wanted is None else wanted[places.place]
                    )
                    numbers[places.place] = found
                known += len(columns)
            self.columns.add(rows.sizes)
            self.latest = np.concatenate([self.latest, rows.numbers[:, self.inside]])[-2:]
        return _Coded(numbers, _richness(numbers, shape))

    def _rows(self, count: int) -> _Rows:
        wide = (count, self.shape.columns + 2 * self.margin)
        return _Rows(
            np.zeros(wide, np.int64), np.zeros(wide, np.int64), np.zeros(count, np.int64), np.zeros(count, np.int64)
        )

    def _places(self, first: int, count: int, columns: Ints) -> _Places:
        row, column = np.repeat(np.arange(count), len(columns)), np.tile(columns, count)
        place = (first + row) * self.shape.columns + column
        found = _Places(row, column, place)
        return (
            found
            if (first + count) * self.shape.columns <= self.shape.count
            else found.at(np.flatnonzero(place < self.shape.count))
        )

    def _above(self) -> _Above:
        step, far = self.shape.near[1], self.shape.far
        mean = self.columns.sizes * 16 // max(self.columns.weight, 1)
        distances = [1, step, far] if far else [1, step]
        around = sum((self._moved(mean, by) + self._moved(mean, -by) for by in distances), np.zeros(1, np.int64))
        narrow = [0, 1, -1, step, -step]
        wide = [*narrow, step + 1, step - 1, 1 - step, -step - 1, 2, -2, 2 * step, -2 * step]
        sizes, sign = np.minimum(size_class(self.latest), 3), np.sign(self.latest)
        here = mean[self.inside]
        return _Above(
            mean=_bucket(here * 4),
            around=_bucket(around // (2 * len(distances)) * 4),
            before=(sizes[1] * 4 + sizes[0]) * 16 + _bucket(here),
            signs=sign[1] * 3 + sign[0] + 4,
            narrow=self._density(narrow),
            wide=self._density(wide),
        )

    def _moved(self, values: Ints, by: int) -> Ints:
        return values[self.margin + by : self.margin + by + self.shape.columns]

    def _density(self, offsets: list[int]) -> Ints:
        filled = sum((self._moved(self.columns.filled, by) for by in offsets), np.zeros(1, np.int64))
        return density(filled, len(offsets) * self.columns.rows)

    def _pass(self, turn: int, places: _Places, rows: _Rows, above: _Above, known: int, wanted: Ints | None) -> Ints:
        contexts = self._size_contexts(turn, places, rows, above, known)
        filled = rows.filled[places.row]
        directs = np.stack([above.narrow[places.column], above.wide[places.column], density(filled, known)])
        flags = None if wanted is None else (wanted != 0).astype(np.int64)
        hits = np.flatnonzero(self.learnt.sizes.code(self.coder, contexts, 0, turn, flags, directs))
        sizes, numbers = np.zeros((2, len(places.place)), np.int64)
        if len(hits):
            want, place = None if wanted is None else wanted[hits], places.at(hits)
            found = self._class(turn, contexts[:, hits], want)
            less = self._magnitude(found, want)
            negative = self._sign(turn, place, rows, above, want)
            sizes[hits], numbers[hits] = found + 1, np.where(negative == 1, -less - 1, less + 1)
        at = places.column + self.margin
        rows.sizes[places.row, at], rows.numbers[places.row, at] = sizes, numbers
        np.add.at(rows.total, places.row, sizes)
        np.add.at(rows.filled, places.row, sizes > 0)
        return numbers

    def _size_contexts(self, turn: int, places: _Places, rows: _Rows, above: _Above, known: int) -> Ints:
        row, column, shape = places.row, places.column, self.shape
        beside, across = self._pair(rows.sizes, places, shape.near[0]), self._pair(rows.sizes, places, shape.near[1])
        far = self._pair(rows.sizes, places, shape.far) if shape.far else np.zeros_like(row)
        rich, mean = _bucket(rows.total * 64 // max(known, 1))[row], above.mean[column]
        link = self.linked[column] * 16
        contexts = (
            column % _COLUMNS,
            above.before[column],
            (np.minimum(beside, 15) * 8 + np.minimum(across // 2, 7)) * _PASSES + turn,
            rich * 16 + mean,
            above.around[column] * 16 + rich,
            np.minimum(far, 15) * 16 + np.minimum((beside + across + 1) // 2, 15),
            column % max(1, shape.kernel) % 64 * 16 + rich,
            np.zeros_like(row),
            link + mean,
            link + rich,
        )
        return np.stack(contexts)

    def _pair(self, values: Ints, places: _Places, by: int) -> Ints:
        at = places.column + self.margin
        found: Ints = values[places.row, at - by] + values[places.row, at + by]
        return found

    def _class(self, turn: int, contexts: Ints, wanted: Ints | None) -> Ints:
        """The size class less one, from its highest bit on; each bit's decision is what the bits before it say."""
        goal = None if wanted is None else size_class(wanted) - 1
        path = np.ones(contexts.shape[1], np.int64)
        for level in range(self.depth):
            bit = None if goal is None else (goal >> (self.depth - 1 - level)) & 1
            chosen = (level + 1) * _PASSES + turn
            path = path * 2 + self.learnt.sizes.code(self.coder, contexts, path, chosen, bit, None)
        return path - (1 << self.depth)

    def _magnitude(self, classes: Ints, wanted: Ints | None) -> Ints:
        """The magnitude less one: what the class leaves open are bits that hang on little."""
        more = np.maximum((classes >> 1) - 1, 0)
        less = np.where(classes < 2, classes, (2 + (classes & 1)) << more)
        goal = None if wanted is None else np.abs(wanted) - 1
        for level in range(int(more.max())):
            open_ = np.flatnonzero(more > level)
            shift = more[open_] - 1 - level
            bit = None if goal is None else (goal[open_] >> shift) & 1
            less[open_] |= self.learnt.rest.code(self.coder, classes[open_] * 8 + min(level, 7), bit) << shift
        return less

    def _sign(self, turn: int, places: _Places, rows: _Rows, above: _Above, wanted: Ints | None) -> Ints:
        at, row, (one, step) = places.column + self.margin, places.row, self.shape.near
        left, right, up, down = (rows.numbers[row, at + by] for by in (-one, one, -step, step))
        sum_ = np.clip(left + right + up + down, -127, 127)
        size = np.minimum(7, np.frexp(np.abs(sum_).astype(np.float64))[1])
        contexts = (
            places.column % _COLUMNS,
            (np.sign(left) * 3 + np.sign(right) + 4) * _PASSES + turn,
            (np.sign(up) * 3 + np.sign(down) + 4) * _PASSES + turn,
            above.signs[places.column],
            np.sign(sum_) * size + 8,
            np.zeros_like(row),
        )
        flags = None if wanted is None else (wanted < 0).astype(np.int64)
        return self.learnt.signs.code(self.coder, np.stack(contexts), 0, turn, flags, None)


def _richness(numbers: Ints, shape: Layout) -> Ints:
    """How large the weights of each output are on average, as a bucket."""
    if shape.vector:
        return np.zeros(0, np.int64)
    sizes = size_class(numbers).reshape(-1, shape.columns)
    return _bucket(sizes.sum(0 if shape.turned else 1) * 64 // sizes.shape[0 if shape.turned else 1])


def _bucket(numbers: Ints) -> Ints:
    """0 to 15, in equal steps of the logarithm."""
    return _BUCKETS[np.minimum(numbers, len(_BUCKETS) - 1)]
