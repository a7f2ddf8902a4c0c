"""What a job's process says, made fit to keep: bounded, printable, and the same in SQLite and PostgreSQL.

That process is not trusted. PostgreSQL refuses NUL and lone surrogates in JSON, SQLite takes them: neither gets them.
"""

import json
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pith.errors import Problem
from pith.job import EngineEvent, Progress
from pith.recipe import MAX_STEPS

MESSAGE_CHARACTERS = 2000
DETAIL_CHARACTERS = 4000
DATA_BYTES = 4096
_DEPTH = 8
_LARGEST = 1e308
_EXACT = 2**53
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_YEARS = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))


def clean_event(event: EngineEvent, now: datetime) -> EngineEvent:
    """A date that is absurd becomes ``now``."""
    at = event.at if event.at.tzinfo else event.at.replace(tzinfo=UTC)
    return EngineEvent(
        at=at if _YEARS[0] < at < _YEARS[1] else now,
        type=event.type,
        message=clean_text(event.message, MESSAGE_CHARACTERS),
        step=_clean_step(event.step),
        data=clean_data(event.data),
    )


def clean_progress(progress: Progress) -> dict[str, Any]:
    kept: dict[str, Any] = _clean(progress.model_dump(mode="json"))
    return {**kept, "step": _clean_step(progress.step), "message": clean_text(progress.message, MESSAGE_CHARACTERS)}


def clean_problem(problem: Problem) -> dict[str, Any]:
    kept: dict[str, Any] = _clean(problem.model_dump(mode="json"))
    return kept


def clean_text(text: str, limit: int) -> str:
    """Control characters, line breaks, surrogates and direction overrides become spaces."""
    kept = text[:limit]
    if kept.isprintable():
        return kept
    return "".join(" " if _is_unprintable(character) else character for character in kept)


def clean_data(data: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = _clean(data)
    size = len(json.dumps(kept))
    return kept if size <= DATA_BYTES else {"dropped": f"{size} bytes; {DATA_BYTES} are kept at most"}


def is_clean(value: Any) -> bool:
    """Whether JSON can be kept as it is."""
    return bool(_clean(value) == value)


class Unclean(ValueError):
    """Text that is no JSON, or JSON that nobody should read."""


def clean_json(text: bytes, longer: Mapping[str, int]) -> dict[str, Any]:
    """A JSON object, with texts cut, numbers that no database holds as null, and nothing very deep.

    ``longer`` says how many characters of a text are kept below its own keys, where those are more than elsewhere.

    Raises:
        Unclean: it is no JSON object.
    """
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("it is no object")
        return {key: _clean(value, most=longer.get(key, DETAIL_CHARACTERS)) for key, value in found.items()}
    except (ValueError, RecursionError) as error:
        raise Unclean(clean_text(str(error), 200)) from None


def _clean_step(step: int | None) -> int | None:
    return None if step is None or step >= MAX_STEPS else step


def _is_unprintable(character: str) -> bool:
    return character in _BIDI or unicodedata.category(character) in _UNPRINTABLE


def _clean(value: Any, depth: int = 0, most: int = DETAIL_CHARACTERS) -> Any:
    if depth > _DEPTH:
        return None
    if isinstance(value, dict):
        return {clean_text(str(key), 200): _clean(item, depth + 1, most) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item, depth + 1, most) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return _clean_number(value)
    return clean_text(str(value), most)


def _clean_number(value: float) -> float | None:
    """JSONB writes a large float out in digits, and it comes back as another integer: so it goes in as one."""
    if not -_LARGEST < value < _LARGEST:  # nor is NaN
        return None
    return int(value) if abs(value) >= _EXACT else value
