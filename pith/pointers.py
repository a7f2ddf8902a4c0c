"""Pydantic's findings as RFC 6901 pointers into what the caller sent, free of the schema's own inner names."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from pydantic import BaseModel

from pith.errors import FieldProblem, PithError
from pith.job import JobSpec
from pith.sentences import LONGEST, sentence, short

MOST = 20
LOOKED_AT = 1000
PLACES = {"body", "query", "path", "header"}


def field_problems(
    errors: Iterable[Mapping[str, Any]], document: object, kind: type[BaseModel] = JobSpec
) -> tuple[tuple[FieldProblem, ...], int]:
    """At most 20 wrong fields, one entry each, and how many there are; beyond LOOKED_AT, errors count as fields."""
    found: dict[str, FieldProblem] = {}
    remaining = iter(errors)
    for error in islice(remaining, LOOKED_AT):
        pointer = _pointer(error, document)
        one = FieldProblem(pointer=pointer, code=error["type"], detail=sentence(error, kind))
        earlier = found.get(pointer)
        found[pointer] = one if earlier is None else _both(earlier, one)
    real = [one for one in found.values() if not _follows(one, found)]
    return tuple(real[:MOST]), len(real) + sum(1 for _ in remaining)


def malformed(errors: Iterable[Mapping[str, Any]], document: object, kind: type[BaseModel] = JobSpec) -> PithError:
    """The error ``malformed_request`` for what pydantic found wrong in ``document``, which was to be a ``kind``."""
    found, count = field_problems(errors, document, kind)
    named = [f"{field.pointer or 'the whole'}: {field.detail}" for field in found[:3]]
    rest = [f"and {count - len(named)} more (see errors)"] if count > len(named) else []
    wrong = "One field is wrong" if count == 1 else f"{count} fields are wrong"
    return PithError("malformed_request", errors=found, wrong=wrong, summary="; ".join(named + rest))


def _follows(one: FieldProblem, found: Iterable[str]) -> bool:
    """Whether a list is too short only because entries of it were refused."""
    return one.code == "too_short" and any(pointer.startswith(f"{one.pointer}/") for pointer in found)


def _both(first: FieldProblem, second: FieldProblem) -> FieldProblem:
    """A value that fits no branch of a union is one problem, not one per branch."""
    if second.detail in first.detail:
        return first
    return first.model_copy(update={"detail": short(f"{first.detail}, or: {second.detail}", 2 * LONGEST)})


def _pointer(error: Mapping[str, Any], document: object) -> str:
    placed = document is None and error["loc"] and error["loc"][0] in PLACES
    place, *loc = error["loc"] if placed else ("body", *error["loc"])
    steps = list(_walk(loc, document, error["type"])) if place == "body" else [place, *loc]
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1")[:100] for step in steps)


def _walk(loc: Iterable[str | int], value: object, kind: str) -> Iterable[str | int]:
    """The part of ``loc`` that leads through ``value``; names of union branches lead nowhere and are left out."""
    steps = list(loc)
    for position, step in enumerate(steps):
        if _leads(step, value):
            value = value[step]  # type: ignore[index]
        elif not (kind == "missing" and isinstance(value, dict) and position == len(steps) - 1):
            continue
        yield step


def _leads(step: str | int, value: object) -> bool:
    if isinstance(value, list):
        return isinstance(step, int) and step < len(value)
    return isinstance(value, dict) and step in value
