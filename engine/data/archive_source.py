"""A zip or tar as rows: which of the layouts it has, by the names of its files.

Folders per class (``train/cat/1.png``, ``cat/1.png``, ``1.png``), WebDataset shards, tables as Hugging Face keeps them.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from engine.archives import Entry, entries
from engine.data import folders, tables, webdataset
from engine.data.formats import TABLES, file_kind
from engine.data.refusals import empty, shown_text, unknown_format
from engine.data.source import ALIASES, Source
from engine.first_bytes import TO_MODELS, model_members
from pith.dataset import SplitName
from pith.errors import PithError

_TABLES = frozenset({".parquet", ".arrow", ".feather", ".csv", ".tsv", ".jsonl", ".ndjson"})
_PICKLES = frozenset({".pkl", ".pickle", ".pyd", ".pt", ".pth", ".joblib", ".npy", ".npz"})
_SHARDS = frozenset({".tar"})
_WORD = re.compile(rf"(?:^|[/_.\-])({'|'.join(ALIASES)})(?=$|[/_.\-\d])", re.IGNORECASE)


def read(path: Path, scratch: Path) -> Source:
    """
    Raises:
        PithError: any ``archive_…`` code, ``dataset_format_unknown``, ``dataset_empty``, ``dataset_pickled``, and what
            the layouts raise.
    """
    names = [entry.name for entry in entries(path)]
    if not names:
        raise empty("the archive has no files")
    if model := model_members(names):
        raise unknown_format(f"the archive is a model ({model})", TO_MODELS)
    kinds = Counter(PurePosixPath(name).suffix.lower() for name in names)
    for name in names:
        if PurePosixPath(name).suffix.lower() in _PICKLES:
            raise PithError("dataset_pickled", name=shown_text(name, 120))
    media = sum(kinds[suffix] for suffix in folders.MEDIA)
    if not media and any(kinds[suffix] for suffix in _TABLES):
        return tables.read(_unpacked_tables(path, scratch), "hugging_face")
    if not media and any(kinds[suffix] for suffix in _SHARDS):
        return webdataset.read_shards(path, scratch)
    if webdataset.looks_like(names):
        return webdataset.read(path)
    return folders.read(path, names)


def split_in(name: str) -> SplitName | None:
    """The split that a path names: ``data/train-00000-of-00002.parquet``, ``test/0.csv``."""
    found = _WORD.findall(name)
    return ALIASES[found[-1].lower()] if found else None


def _unpacked_tables(path: Path, scratch: Path) -> list[tables.Table]:
    """The tables of the archive as files of our own names; everything else in it is passed over."""
    found = []
    for index, entry in enumerate(_of_kind(path, _TABLES)):
        target = scratch / f"table-{index}"
        with target.open("wb") as file:
            file.writelines(entry.chunks)
        kind = file_kind(target, entry.name)
        if kind not in TABLES:
            raise unknown_format(f"{shown_text(entry.name, 80)} is no table")
        found.append(tables.Table(target, shown_text(entry.name, 80), kind, split_in(entry.name)))
    return sorted(found, key=lambda table: table.name)


def _of_kind(path: Path, suffixes: frozenset[str]) -> Iterator[Entry]:
    for entry in entries(path):
        if PurePosixPath(entry.name).suffix.lower() in suffixes:
            yield entry
