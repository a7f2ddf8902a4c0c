"""Pictures or sounds in a folder per class, with or without a folder per split above; or all in one folder, unlabelled.

Notes, licences and tables beside them are passed over; nothing in them is read.
"""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from engine.archives import entries
from engine.data.media_rows import Row, batches, data_of, media_kind
from engine.data.refusals import mismatch, unknown_format
from engine.data.source import FILE, Part, Source, split_named
from pith.dataset import SplitName

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".jpe"})
SOUNDS = frozenset({".wav", ".flac", ".ogg", ".oga", ".mp3"})
MEDIA = IMAGES | SOUNDS
_BESIDE = frozenset({"", ".md", ".txt", ".json", ".yaml", ".yml", ".csv", ".tsv", ".html", ".pdf", ".py", ".xml"})


class Layout(NamedTuple):
    """How many folders stand above everything, and whether a folder per split follows."""

    above: int
    splits: bool


def read(path: Path, names: list[str]) -> Source:
    samples = [PurePosixPath(name).parts for name in names if _is_sample(name)]
    if not samples:
        raise unknown_format("it is an archive without pictures, sounds or tables")
    source = Source("folders", iter(()), label="label")
    source.parts = _parts(path, _layout(samples), source)
    return source


def _is_sample(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() not in _BESIDE


def _layout(samples: list[tuple[str, ...]]) -> Layout:
    """Folders that all samples share are passed over, unless they are the folders of the splits or classes."""
    above = 0
    while (
        all(len(parts) > above + 2 for parts in samples)
        and len({parts[above] for parts in samples}) == 1
        and split_named(samples[0][above]) is None
    ):
        above += 1
    tops = {parts[above] if len(parts) > above + 1 else "" for parts in samples}
    return Layout(above, all(split_named(top) is not None for top in tops))


def _place(name: str, layout: Layout) -> tuple[SplitName | None, str | None]:
    """The split and the class that a path stands for."""
    parts = PurePosixPath(name).parts[layout.above :]
    split = split_named(parts[0]) if layout.splits else None
    rest = parts[1:] if layout.splits else parts
    return split, rest[0] if len(rest) > 1 else None


def _parts(path: Path, layout: Layout, source: Source) -> Iterator[Part]:
    for split, group in groupby(_rows(path, layout, source), key=lambda found: found[0]):
        for batch in batches(row for _, row in group):
            yield Part(split, batch)


def _rows(path: Path, layout: Layout, source: Source) -> Iterator[tuple[SplitName | None, Row]]:
    column, index = "", 0
    for entry in entries(path):
        if not _is_sample(entry.name):
            source.note("files that are no samples (notes, licences, tables) were passed over.")
            continue
        data = data_of(entry)
        kind = media_kind(data, index, entry.name)
        column = column or kind
        if kind != column:
            raise mismatch(repr(entry.name[:80]), f"is {kind}, and the first sample is {column}", "send one kind")
        split, label = _place(entry.name, layout)
        index += 1
        yield split, {column: data, "label": label, FILE: entry.name}
