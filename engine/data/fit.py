"""Preprocessing fitted to the training split: what a job repeats on every sample, and hands out for whoever deploys."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from tokenizers import Tokenizer

from engine.data import sounds, tabular, texts
from engine.data.canonical import Canonical
from engine.data.refusals import mismatch
from engine.data.source import SPLITS
from engine.data.split import Fitted
from pith.dataset import (
    AudioPreprocessing,
    FittedPreprocessing,
    Preprocessing,
    TabularPreprocessing,
    TextPreprocessing,
)

FAMILY = {"image": "image", "audio": "audio", "text": "text", "numeric": "tabular", "categorical": "tabular"}


def family(canonical: Canonical) -> str:
    """The kind of preprocessing that the inputs take: image, audio, text, tabular; or tensor for none."""
    return FAMILY.get(canonical.inputs()[0].type, "tensor")


def check_family(canonical: Canonical, how: Preprocessing) -> None:
    """
    Raises:
        PithError: ``dataset_mismatch``.
    """
    found = family(canonical)
    if found != how.kind and not (found == "tensor" and how.kind == "image"):
        raise mismatch(
            "preprocessing",
            f"is for {how.kind}, and the inputs are {found}",
            f"declare preprocessing of the kind {found}"
            if found != "tensor"
            else "leave it out: tensors go in as they are",
        )


def training_rows(canonical: Canonical) -> Iterator[pa.RecordBatch]:
    """The training split; the first one that there is, where there is no training split."""
    name = next(name for name in SPLITS if canonical.samples(name))
    return canonical.batches(name)


def fit(canonical: Canonical, how: Preprocessing, tokenizer: Path | None) -> Fitted:
    """
    Raises:
        PithError: ``dataset_mismatch``.
    """
    check_family(canonical, how)
    names = tuple(column.name for column in canonical.inputs())
    common = {"preprocessing": how, "inputs": names, "classes": canonical.facts.classes}
    if isinstance(how, TabularPreprocessing):
        table = tabular.fit(training_rows(canonical), canonical.inputs(), how)
        return Fitted(FittedPreprocessing(**common, input_shape=(tabular.width(table),), table=table))
    if isinstance(how, TextPreprocessing):
        made = _tokenizer(canonical, how, tokenizer, names)
        size = made.get_vocab_size(with_added_tokens=True)
        return Fitted(FittedPreprocessing(**common, input_shape=(how.length,), vocabulary=size), made)
    if isinstance(how, AudioPreprocessing):
        shape = sounds.shape(how)
        return Fitted(FittedPreprocessing(**common, input_shape=shape if len(shape) == 1 else (1, *shape)))
    height, width = how.size or (None, None)
    return Fitted(FittedPreprocessing(**common, input_shape=(how.channels, height, width)))


def _tokenizer(canonical: Canonical, how: TextPreprocessing, path: Path | None, names: tuple[str, ...]) -> Tokenizer:
    if how.tokenizer == "model":
        if path is None:
            raise mismatch(
                "preprocessing", "asks for the model's tokenizer, and the model brought none",
                'upload the model\'s folder with its tokenizer.json, or set tokenizer to "words"',
            )  # fmt: skip
        return texts.fixed_length(texts.read_tokenizer(path), how.length)
    return texts.fixed_length(texts.words(training_rows(canonical), names, how), how.length)
