"""What the columns of an upload look like: numbers, categories, text, pictures, sounds or tensors; what is missing."""

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from engine.data import pictures, sounds
from engine.data.gather import Gathered
from engine.data.limits import CLASSES

MISSING = ("", "?", "NA", "N/A", "n/a", "na", "NaN", "nan", "null", "NULL", "None", "#N/A")
_MISSING = pa.array(MISSING)
_DISTINCT_BYTES = 64 << 20


@dataclass
class Column:
    """``distinct`` holds the trimmed values with their counts, or None once there are too many of them."""

    name: str
    type: pa.DataType
    values: int = 0
    missing: int = 0
    numeric: bool = True
    integer: bool = True
    words: int = 0
    media: str = ""
    distinct: dict[str, int] | None = field(default_factory=dict)
    _bytes: int = 0

    def look(self, array: pa.Array, tensor: bool) -> None:
        self.values += len(array) - array.null_count
        if tensor:
            return
        if types.is_string(self.type):
            self._look_at_texts(array)
        elif types.is_binary(self.type):
            self._look_at_bytes(array)
        elif types.is_int64(self.type) or types.is_float64(self.type):
            self._look_at_numbers(array)

    @property
    def kind(self) -> str:
        """tensor, image, audio, numeric, or for texts: text or categorical."""
        if types.is_fixed_size_list(self.type) or (not types.is_string(self.type) and self.type not in _KEPT):
            return "tensor"
        if types.is_binary(self.type):
            return self.media
        if self.numeric and self.values > self.missing:
            return "numeric"
        return "text" if self.words >= 3 * max(1, self.values - self.missing) else "categorical"

    def _look_at_texts(self, array: pa.Array) -> None:
        trimmed = pc.utf8_trim_whitespace(array.drop_null())
        present = trimmed.filter(pc.invert(pc.is_in(trimmed, _MISSING)))
        self.missing += len(trimmed) - len(present)
        self.numeric = self.numeric and _fits(present, pa.float64())
        self.integer = self.integer and self.numeric and _fits(present, pa.int64())
        self.words += pc.sum(pc.count_substring_regex(present, r"\S+")).as_py() or 0
        self._count(present)

    def _look_at_numbers(self, array: pa.Array) -> None:
        present = array.drop_null()
        if types.is_float64(self.type):
            present = present.filter(pc.invert(pc.is_nan(present)))
            self.missing += len(array.drop_null()) - len(present)
            whole = pc.all(pc.equal(present, pc.floor(present))).as_py()
            self.integer = self.integer and whole is not False
        self._count(present.cast(pa.int64(), safe=False) if self.integer else present)

    def _look_at_bytes(self, array: pa.Array) -> None:
        """The first value says which kind of sample this is; each value is decoded later."""
        self.numeric = self.integer = False
        first = array.drop_null()[:1]
        if not self.media and len(first):
            start = first[0].as_py()[:16]
            self.media = "image" if pictures.picture_format(start) else "audio" if sounds.is_sound(start) else "unknown"

    def _count(self, present: pa.Array) -> None:
        if self.distinct is None:
            return
        for pair in pc.value_counts(present):
            value = str(pair["values"].as_py())
            self._bytes += 0 if value in self.distinct else len(value)
            self.distinct[value] = self.distinct.get(value, 0) + pair["counts"].as_py()
        if len(self.distinct) > CLASSES or self._bytes > _DISTINCT_BYTES:
            self.distinct = None


_KEPT = (pa.binary(), pa.int64(), pa.float64())


def survey(gathered: Gathered, tensors: frozenset[str]) -> dict[str, Column]:
    """Every column of the upload; ``tensors`` names those whose values have a shape."""
    columns = {item.name: Column(item.name, item.type) for item in gathered.schema}
    for batch in gathered.batches():
        for name, column in columns.items():
            column.look(batch.column(name), name in tensors)
    return columns


def _fits(present: pa.Array, kind: pa.DataType) -> bool:
    try:
        present.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True
