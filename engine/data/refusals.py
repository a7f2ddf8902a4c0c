"""The errors of the table that datasets are refused with, in the words that their readers use."""

import re

from pith.errors import PithError

FORMATS = (
    "send .npz, Parquet, Arrow, CSV with a header, JSON Lines, or a zip or tar of a folder per class, of WebDataset "
    "shards or of a Hugging Face dataset"
)
_OBJECT = re.compile(r"<[^<>]* object at 0x[0-9a-f]+>")


def mismatch(what: str, problem: str, way_out: str) -> PithError:
    return PithError("dataset_mismatch", array=what, problem=problem, way_out=way_out)


def schema_mismatch(field: str, value: object, problem: str, way_out: str) -> PithError:
    return PithError("dataset_schema_mismatch", field=field, value=shown(value, 200), problem=problem, way_out=way_out)


def unreadable(reason: str) -> PithError:
    return PithError("dataset_unreadable", reason=shown_text(reason, 300))


def unknown_format(found: str, way_out: str = FORMATS) -> PithError:
    return PithError("dataset_format_unknown", found=shown_text(found, 200), way_out=way_out)


def empty(found: str) -> PithError:
    return PithError("dataset_empty", found=shown_text(found, 200))


def too_large(what: str, value: object, limit: object) -> PithError:
    return PithError("dataset_too_large", what=what, value=value, limit=limit)


def bad_sample(index: int, name: str, problem: str) -> PithError:
    """``index`` counts from 0 over the whole upload, in its own order."""
    return PithError("dataset_sample_unreadable", index=index, name=shown_text(name, 120), problem=problem)


def said(error: BaseException, length: int = 100) -> str:
    """What a library says, without the addresses of its objects."""
    return shown_text(_OBJECT.sub("the file", str(error)), length)


def shown(value: object, length: int = 60) -> str:
    return shown_text(repr(value), length)


def shown_text(text: str, length: int) -> str:
    """One printable line."""
    plain = "".join(letter if letter.isprintable() else "�" for letter in text[: length + 1])
    return plain if len(plain) <= length else plain[: length - 1] + "…"
