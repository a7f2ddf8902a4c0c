"""What is said of an upload besides its bytes: an architecture or a schema, in the query or as parts of a form."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, ValidationError

from pith.dataset import DatasetSchema
from pith.errors import PithError
from pith.intake import Architecture
from pith.pointers import malformed
from store.clean import is_clean

T = TypeVar("T", Architecture, DatasetSchema)
MOST_IN_A_QUERY = 20_000  # characters: even all of them escaped fit into the one line that a server takes
_UNCLEAN = (
    "should hold no NaN, no number beyond 1e308, no control characters, no text of more than 4000 characters, and no "
    "more than 8 levels"
)


def architecture_words(
    architecture: Annotated[
        str | None, Query(max_length=300, description="For weights without a graph: timm/resnet18, pith/resnet20, ….")
    ] = None,
    arguments: Annotated[
        str | None,
        Query(max_length=MOST_IN_A_QUERY, description='Its keyword arguments, a JSON object: {"num_classes": 10}.'),
    ] = None,
    input_shape: Annotated[
        str | None, Query(max_length=100, description="Of one sample, where it is not fixed: 3,32,32.")
    ] = None,
    seed: Annotated[str | None, Query(max_length=30, description="Of the weights, when no file brings them.")] = None,
) -> dict[str, str]:
    given = {"architecture": architecture, "arguments": arguments, "input_shape": input_shape, "seed": seed}
    return {name: text for name, text in given.items() if text is not None}


def schema_words(
    schema: Annotated[
        str | None,
        Query(
            max_length=MOST_IN_A_QUERY,
            description='A DatasetSchema, a JSON object: {"label": "income"}. A longer one is a part of a form.',
        ),
    ] = None,
) -> dict[str, str]:
    return {} if schema is None else {"schema": schema}


@dataclass(frozen=True)
class Words(Generic[T]):
    """One way to say it: the names of the parameters, their dependency, and what reads them (None for no words)."""

    names: tuple[str, ...]
    query: Callable[..., dict[str, str]]
    read: Callable[[Mapping[str, str], str | None], T | None]


def read_architecture(words: Mapping[str, str], place: str | None) -> Architecture | None:
    """``place`` is ``query``, or None for the parts of a form.

    Raises:
        PithError: ``malformed_request``.
    """
    if not words:
        return None
    if "architecture" not in words:
        raise _wrong(place, "architecture", words, "is missing, which the others belong to")
    document = {
        "name": words["architecture"],
        "arguments": _json(place, "arguments", words),
        "input_shape": _numbers(place, "input_shape", words),
        "seed": _number(place, "seed", words["seed"], words) if "seed" in words else None,
    }
    kept = {name: value for name, value in document.items() if value is not None}
    return _valid(Architecture, kept, place, words, {"name": "architecture"})


def read_schema(words: Mapping[str, str], place: str | None) -> DatasetSchema | None:
    """Raises as ``read_architecture`` does; its pointers lead into the schema."""
    found = _json(place, "schema", words)
    return None if found is None else _valid(DatasetSchema, found, place, words, {}, "schema")


ARCHITECTURE = Words(("architecture", "arguments", "input_shape", "seed"), architecture_words, read_architecture)
SCHEMA = Words(("schema",), schema_words, read_schema)


def check_clean(value: BaseModel, refuse: Callable[[str], PithError]) -> None:
    """Refuse what a database does not hold or nobody could read."""
    if not is_clean(json.loads(json.dumps(value.model_dump()))):  # which keeps NaN, and makes lists of tuples
        raise refuse(_UNCLEAN)


def _valid(
    kind: type[T],
    document: dict[str, Any],
    place: str | None,
    words: Mapping[str, str],
    names: Mapping[str, str],
    below: str | None = None,
) -> T:
    try:
        found = kind.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as fault:
        errors = [
            {**error, "loc": _placed(place, below, names, error["loc"])} for error in fault.errors(include_url=False)
        ]
        raise malformed(errors, None if place else _as_sent(document, names, below), kind) from fault
    check_clean(found, lambda rule: _wrong(place, below or "architecture", words, rule))
    return found


def _placed(place: str | None, below: str | None, names: Mapping[str, str], loc: tuple[Any, ...]) -> tuple[Any, ...]:
    first = (names.get(loc[0], loc[0]), *loc[1:]) if loc else ()
    return tuple(step for step in (place, below, *first) if step is not None)


def _as_sent(document: dict[str, Any], names: Mapping[str, str], below: str | None) -> dict[str, Any]:
    sent = {names.get(name, name): value for name, value in document.items()}
    return sent if below is None else {below: sent}


def _json(place: str | None, name: str, words: Mapping[str, str]) -> dict[str, Any] | None:
    if name not in words:
        return None
    try:
        found = json.loads(words[name])
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _wrong(place, name, words, "should be a JSON object")
    return found


def _numbers(place: str | None, name: str, words: Mapping[str, str]) -> list[int] | None:
    return [_number(place, name, part, words) for part in words[name].split(",")] if name in words else None


def _number(place: str | None, name: str, text: str, words: Mapping[str, str]) -> int:
    if not (text.strip().isascii() and text.strip().isdigit()):
        raise _wrong(place, name, words, "should be whole numbers, with commas between them if there are several")
    return int(text)


def _wrong(place: str | None, name: str, words: Mapping[str, str], message: str) -> PithError:
    loc = (name,) if place is None else (place, name)
    error: dict[str, Any] = {"loc": loc, "type": "value_error", "msg": message}
    if name in words:
        error["input"] = words[name]
    return malformed([error], {name: None, **words} if place is None else None)
