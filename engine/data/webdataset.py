"""WebDataset shards: files of one sample stand together and share their name up to the first dot of it.

Read: pictures and sounds, ``cls`` (the label), ``txt`` (text), ``json`` (an object of plain values). Not: others.
"""

import json
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path, PurePosixPath

from engine.archives import Entry, entries
from engine.data import limits
from engine.data.folders import MEDIA
from engine.data.json_lines import as_text
from engine.data.media_rows import Row, batches, data_of, media_kind
from engine.data.refusals import bad_sample, empty, mismatch, shown_text
from engine.data.source import ALIASES, FILE, Part, Source
from pith.dataset import SplitName

_LABELS, _TEXTS = frozenset({"cls"}), frozenset({"txt", "text", "caption"})


def looks_like(names: list[str]) -> bool:
    """Whether some files are labels, or share their key with another file beside them."""
    keys = [_key(name) for name in names]
    pairs = sum(a == b for a, b in pairwise(keys))
    return any(_extension(name) in _LABELS for name in names) or pairs * 3 >= len(names)


def read(path: Path) -> Source:
    """One shard, or one archive with the files of all."""
    source = Source("webdataset", iter(()))
    source.parts = _parts(((None, path),), source)
    return source


def read_shards(path: Path, scratch: Path) -> Source:
    """An archive of shards; ``train-000.tar`` says which split it is of."""
    source = Source("webdataset", iter(()))
    source.parts = _parts(_shards(path, scratch), source)
    return source


def _shards(path: Path, scratch: Path) -> Iterator[tuple[SplitName | None, Path]]:
    target = scratch / "shard.tar"
    for entry in entries(path):
        if PurePosixPath(entry.name).suffix.lower() != ".tar":
            continue
        with target.open("wb") as file:
            file.writelines(entry.chunks)
        yield _split_of(entry.name), target


def _split_of(name: str) -> SplitName | None:
    for word in name.lower().replace("/", "-").replace("_", "-").replace(".", "-").split("-"):
        if word in ALIASES:
            return ALIASES[word]
    return None


def _parts(
    shards: "Iterator[tuple[SplitName | None, Path]] | tuple[tuple[None, Path]]", source: Source
) -> Iterator[Part]:
    counter = [0]
    columns: list[str] = []
    for split, path in shards:
        for batch in batches(_rows(path, source, columns, counter)):
            yield Part(split, batch)
    if not counter[0]:
        raise empty("the shards have no samples")


def _rows(path: Path, source: Source, columns: list[str], counter: list[int]) -> Iterator[Row]:
    """``columns`` are those of the first sample; a later sample may lack some, and may not have others."""
    for key, group in groupby(entries(path), key=lambda entry: _key(entry.name)):
        row = _sample(list(_fields(group, counter[0], source)), counter[0], key)
        if not row:
            continue
        columns.extend([] if columns else row)
        if extra := row.keys() - set(columns):
            raise mismatch(
                f"sample {shown_text(key, 80)!r}", f"has {min(extra)!r}, which the first sample has not", "add it there"
            )
        if late := next((name for name in ("image", "audio") if name in columns and row.get(name) is None), None):
            raise bad_sample(counter[0], key, f"has no {late}")
        counter[0] += 1
        yield {**{name: row.get(name) for name in columns}, FILE: key}


def _fields(group: Iterator[Entry], index: int, source: Source) -> Iterator[tuple[str, str | bytes | None]]:
    for entry in group:
        extension = _extension(entry.name)
        if extension in _LABELS:
            yield "label", _text(entry, index).strip()
        elif extension in _TEXTS:
            yield "text", _text(entry, index)
        elif extension == "json":
            yield from _object(entry, index)
        elif f".{extension.rpartition('.')[2]}" in MEDIA:
            data = data_of(entry)
            yield media_kind(data, index, entry.name), data
        else:
            source.note(f"files that end in .{shown_text(extension, 20)} were passed over.")


def _sample(fields: list[tuple[str, str | bytes | None]], index: int, key: str) -> Row:
    row: Row = {}
    for name, value in reversed(fields):
        if isinstance(value, bytes) and name in row:
            raise bad_sample(index, key, f"has two files of the kind {name}")
        row[name] = value
    return dict(sorted(row.items()))


def _object(entry: Entry, index: int) -> Iterator[tuple[str, str | None]]:
    try:
        found = json.loads(_text(entry, index))
    except (ValueError, RecursionError):
        raise bad_sample(index, entry.name, "is no JSON") from None
    if not isinstance(found, dict) or len(found) > limits.COLUMNS:
        raise bad_sample(index, entry.name, "is no JSON object")
    for name, value in found.items():
        if name in ("image", "audio") or not name.isprintable():
            continue
        if value is None or isinstance(value, str | int | float):
            yield name, as_text(value)


def _text(entry: Entry, index: int) -> str:
    data = data_of(entry)
    if len(data) > limits.TEXT_BYTES:
        raise bad_sample(index, entry.name, f"has {len(data)} bytes of text, and {limits.TEXT_BYTES} is the most")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise bad_sample(index, entry.name, "is no UTF-8 text") from None


def _key(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.parent / path.name.partition(".")[0])


def _extension(name: str) -> str:
    return PurePosixPath(name).name.partition(".")[2].lower()
