"""What a reader of some format hands over: batches of rows in a few plain Arrow types, a split's name beside each."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from pith.dataset import DatasetFormat, SplitName

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
ALIASES: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}


FILE = "__file__"
"""The column in which readers of archives keep the name of a sample's file, for messages alone."""


class Part(NamedTuple):
    """Rows that belong to one split; ``split`` is None where the upload does not say."""

    split: SplitName | None
    batch: pa.RecordBatch


@dataclass
class Source:
    """``parts`` may be taken once; ``shapes``, ``classes``, ``sizes`` and ``notes`` are complete when it has been.

    Columns are strings, int64, float64, binary (pictures and sounds) or fixed-size lists of numbers (tensors, whose
    shape is in ``shapes``).
    """

    format: DatasetFormat
    parts: Iterator[Part]
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    label: str | None = None

    def note(self, sentence: str) -> None:
        if sentence not in self.notes and len(self.notes) < 20:
            self.notes.append(sentence)


def split_named(word: str) -> SplitName | None:
    return ALIASES.get(word.strip().lower())
