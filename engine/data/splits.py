"""The split of every row: what the upload says, and what is made where it says nothing, stratified and by seed."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from engine.data.gather import Gathered
from engine.data.labels import Labels
from engine.data.refusals import mismatch, schema_mismatch, shown
from engine.data.roles import Roles
from engine.data.source import SPLITS, split_named
from pith.dataset import DatasetSchema, SplitName

Codes = np.ndarray[Any, np.dtype[np.int8]]
TRAIN, VALIDATION, TEST = range(3)


class Assigned(NamedTuple):
    """``codes`` holds an index into ``SPLITS`` for each row."""

    codes: Codes
    made: tuple[SplitName, ...]
    notes: tuple[str, ...]


def assign(gathered: Gathered, labels: Labels, found: Roles, declared: DatasetSchema) -> Assigned:
    """
    Raises:
        PithError: ``dataset_mismatch``, or ``dataset_schema_mismatch``.
    """
    codes = _told(gathered, found)
    codes[codes < 0] = TRAIN
    shares = declared.shares
    if shares.validation + shares.test >= 1:
        raise schema_mismatch(
            "shares", f"{shares.validation} + {shares.test}", "nothing is left to train on", "lower them"
        )
    made, notes = [], []
    samples = int((codes == TRAIN).sum())
    for code, share in ((TEST, shares.test), (VALIDATION, shares.validation)):
        if not (samples and share) or (codes == code).any() or not labels.present[codes == TRAIN].all():
            continue
        rows = _drawn(codes, labels, round(share * samples), np.random.default_rng((declared.seed, code)))
        codes[rows] = code
        if len(rows):
            made.append(SPLITS[code])
            how = "stratified by class, " if labels.classes else ""
            notes.append(f"the {SPLITS[code]} split was made here: {len(rows)} samples, {how}seed {declared.seed}.")
    _check(codes, labels)
    return Assigned(codes, tuple(made), tuple(notes))


def _told(gathered: Gathered, found: Roles) -> Codes:
    """What files, folders or a column say; -1 where they say nothing."""
    if found.split is not None:
        return _from_column(gathered, found.split)
    codes = np.empty(gathered.rows, np.int8)
    start = 0
    for split, batch in zip(gathered.splits, gathered.batches(), strict=True):
        codes[start : start + batch.num_rows] = -1 if split is None else SPLITS.index(split)
        start += batch.num_rows
    return codes


def _from_column(gathered: Gathered, name: str) -> Codes:
    column = gathered.column(name).dictionary_encode().combine_chunks()
    words = ["" if value is None else str(value) for value in column.dictionary.to_pylist()]
    known = {word: split_named(word) for word in words}
    if strange := next((word for word, split in known.items() if split is None and word.strip()), None):
        raise mismatch(
            f"column {name!r}", f"names the split {shown(strange)}", "call splits train, validation and test"
        )
    table = np.array([SPLITS.index(split) if (split := known[word]) else -1 for word in words] + [-1], np.int8)
    codes: Codes = table[pc.fill_null(column.indices, len(words)).to_numpy(zero_copy_only=False)]
    return codes


def _drawn(codes: Codes, labels: Labels, count: int, random: np.random.Generator) -> np.ndarray[Any, Any]:
    """That many rows of the training split, from each class its share; each class keeps one at least."""
    pool = np.flatnonzero(codes == TRAIN)
    if not labels.classes or labels.values is None:
        return np.sort(random.permutation(pool)[: min(count, len(pool) - 1)])
    numbers = labels.values[pool]
    order = random.permutation(len(pool))
    order = order[np.argsort(numbers[order], kind="stable")]
    sizes = np.bincount(numbers)
    quotas = _quotas(sizes, count)
    starts = np.cumsum(sizes) - sizes
    chosen = [order[start : start + quota] for start, quota in zip(starts, quotas, strict=True)]
    return np.sort(pool[np.concatenate(chosen)])


def _quotas(sizes: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """Shares of ``count`` by size, rounded so that they add up to it where every class can spare its share."""
    exact = sizes * (count / max(1, sizes.sum()))
    quotas = np.floor(exact).astype(np.int64)
    largest = np.argsort(-(exact - quotas), kind="stable")[: count - int(quotas.sum())]
    quotas[largest] += 1
    spared: np.ndarray[Any, Any] = np.minimum(quotas, np.maximum(sizes - 1, 0))
    return spared


def _check(codes: Codes, labels: Labels) -> None:
    """Within one split all rows have a label or none has."""
    for code, name in enumerate(SPLITS):
        present = labels.present[codes == code]
        if present.any() and not present.all():
            missing = int((~present).sum())
            first = int(np.flatnonzero((codes == code) & ~labels.present)[0])
            raise mismatch(
                f"the {name} split",
                f"has no label for {missing} of its {len(present)} samples, the first being sample {first}",
                "label them, or put them into a split of their own",
            )
