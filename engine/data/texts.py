"""Texts as token ids: by the tokenizer that came with the model, or by the words of the training split."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from engine.data.refusals import mismatch
from engine.data.split import TokenIds
from pith.dataset import TextPreprocessing

PADDING, UNKNOWN = "[PAD]", "[UNK]"
TOKENIZER_BYTES = 256 << 20
ENCODED_BYTES = 1 << 20  # of text at a time: uncut tokens take a hundred times as much
_MASKS = ("[MASK]", "<mask>")
_PADDINGS = (PADDING, "<pad>", "<|padding|>", "<|endoftext|>", "</s>")
Ids = np.ndarray[Any, np.dtype[np.int32]]


class Encoded(NamedTuple):
    """Each of shape (texts, length)."""

    ids: Ids
    mask: Ids
    types: Ids


def words(batches: Iterable[pa.RecordBatch], names: tuple[str, ...], how: TextPreprocessing) -> Tokenizer:
    """Lower-cased words and marks; the most frequent of these texts, equals in alphabetical order. 0 is padding."""
    tokenizer = Tokenizer(models.WordLevel({PADDING: 0, UNKNOWN: 1}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    counts: Counter[str] = Counter()
    for batch in batches:
        for name in names:
            for text in batch.column(name).to_pylist():
                pieces = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
                counts.update(word for word, _ in pieces)
    best = sorted(counts, key=lambda word: (-counts[word], word))
    kept = [word for word in best if word not in (PADDING, UNKNOWN)][: max(0, how.vocabulary - 2)]
    tokenizer.model = models.WordLevel({word: index for index, word in enumerate((PADDING, UNKNOWN, *kept))}, UNKNOWN)
    return tokenizer


def read_tokenizer(path: Path) -> Tokenizer:
    """
    Raises:
        PithError: ``dataset_mismatch`` when the file is none.
    """
    if path.stat().st_size > TOKENIZER_BYTES:
        raise mismatch("tokenizer.json", f"has more than {TOKENIZER_BYTES} bytes", "send a smaller one")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise mismatch(
            "tokenizer.json", f"cannot be read ({str(error)[:100]})", "save it with tokenizers 0.23"
        ) from error


def fixed_length(tokenizer: Tokenizer, length: int) -> Tokenizer:
    """The tokenizer, set to cut and pad to one length."""
    padding = tokenizer.padding or {}
    token = padding.get("pad_token") or next((one for one in _PADDINGS if tokenizer.token_to_id(one) is not None), None)
    number = padding.get("pad_id", tokenizer.token_to_id(token) if token else 0)
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=number, pad_token=token or PADDING)
    return tokenizer


def encode(tokenizer: Tokenizer, batch: pa.RecordBatch, names: tuple[str, ...]) -> Encoded:
    """The rows' texts; two columns go in together, the second behind the first."""
    columns = [batch.column(name).to_pylist() for name in names]
    rows = list(zip(*columns, strict=True)) if len(columns) > 1 else columns[0]
    step = max(1, len(rows) * ENCODED_BYTES // max(1, batch.nbytes))
    found = [one for at in range(0, len(rows), step) for one in tokenizer.encode_batch(rows[at : at + step])]
    return Encoded(
        np.array([one.ids for one in found], np.int32),
        np.array([one.attention_mask for one in found], np.int32),
        np.array([one.type_ids for one in found], np.int32),
    )


def token_ids(tokenizer: Tokenizer, place: int) -> TokenIds:
    """What dropping tokens has to know: the mask or unknown token, and those that always stay."""
    padding = int((tokenizer.padding or {}).get("pad_id", 0))
    known = (tokenizer.token_to_id(token) for token in (*_MASKS, UNKNOWN, "<unk>"))
    unknown = next((number for number in known if number is not None), padding)
    marks = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    return TokenIds(place, unknown, tuple(sorted(marks | {padding})))


def usual_length(batches: Iterable[pa.RecordBatch], names: tuple[str, ...], most: int = 512) -> int:
    """What 95 % of the texts need, in words and marks, rounded up to a multiple of 8."""
    splitter = pre_tokenizers.Whitespace()
    lengths = [
        sum(len(splitter.pre_tokenize_str(text[: 16 * most])) for text in row)
        for batch in batches
        for row in zip(*(batch.column(name).to_pylist() for name in names), strict=True)
    ]
    wanted = int(np.percentile(lengths, 95)) if lengths else 8
    return max(8, min(most, -(-wanted // 8) * 8))
