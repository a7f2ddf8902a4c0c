"""The answers of a form as the document that they say. What is as it would be by itself is left out."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from app.pages.forms import COUNT, LONGEST_LIST, OF, Answers
from app.pages.shapes import Property, Shape

_WHOLE = re.compile(r"[+-]?\d{1,30}")
_ABSENT: Any = object()


def document(shape: Shape, given: Answers) -> Any:
    """What the answers say. What is no number stays the text that it is, for the contract to refuse."""
    found = _read(shape, given, "")
    return {} if found is _ABSENT else found


def _read(shape: Shape, given: Answers, name: str) -> Any:
    if shape.widget == "group":
        return dict(_properties(shape, given, name))
    if shape.widget == "branch":
        branch = shape.branches.get(given.get(name + OF, ""))
        return _ABSENT if branch is None else _read(branch, given, name)
    if shape.widget in ("list", "ranked"):
        return _list(shape, given, name)
    if shape.widget == "fixed":
        return shape.choices[0]
    text = given.get(name, "")
    if text == "":
        return None if shape.nullable else [] if shape.widget == "lines" and name in given else _ABSENT
    return _value(shape, text)


def _properties(shape: Shape, given: Answers, name: str) -> Iterator[tuple[str, Any]]:
    for key, member in shape.properties.items():
        value = _read(member.shape, given, f"{name}/{key}")
        if value is _ABSENT:
            continue
        if key == "kind" or member.required or not _is_usual(member, value):
            yield key, value


def _is_usual(member: Property, value: Any) -> bool:
    if member.shape.widget == "group":
        return not value
    if isinstance(value, bool) or isinstance(member.default, bool):
        return value is member.default
    same: bool = value == member.default
    return same


def _list(shape: Shape, given: Answers, name: str) -> Any:
    if name + COUNT not in given:
        return _ABSENT
    count = min(index_of(given[name + COUNT]) or 0, LONGEST_LIST)
    if shape.widget == "ranked":
        picked = [given.get(f"{name}/{i}", "") for i in range(count)]
        return [_loaded(each) for each in picked if each]
    found = [_read(shape.entry, given, f"{name}/{i}") for i in range(count)]
    return [None if each is _ABSENT else each for each in found]


def _value(shape: Shape, text: str) -> Any:
    if shape.widget == "number":
        return _numeric(text)
    if shape.widget == "lines":
        lines = [line for line in text.replace("\r\n", "\n").split("\n") if line]
        return [_value(shape.entry, line) for line in lines]
    if shape.widget in ("choice", "json"):
        return _loaded(text)
    return text


def _numeric(text: str) -> Any:
    plain = text.strip()
    if _WHOLE.fullmatch(plain):
        return int(plain)
    try:
        number = float(plain)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _loaded(text: str) -> Any:
    try:
        found = json.loads(text)
        json.dumps(found, allow_nan=False)
    except (ValueError, RecursionError):
        return text
    return found


def index_of(text: str) -> int | None:
    """A place in a list, or a length; None for what is none."""
    return int(text) if text.isdecimal() and len(text) < 10 else None
