"""A job spec from words: ``--step KIND,KEY=VALUE,…`` for each step, ``--set KEY=VALUE`` for any other field.

A value is JSON (0.5, true, [1, 2], {"epochs": 2}) or else the text up to the next comma; a dot in a KEY goes one level
down.
"""

import json
from collections.abc import Iterable
from typing import Any

import click

_DECODER = json.JSONDecoder()


def with_words(document: dict[str, Any], steps: tuple[str, ...], settings: tuple[str, ...]) -> dict[str, Any]:
    """The document with its steps and fields put in.

    Raises:
        click.UsageError: what cannot be understood.
    """
    if steps and "recipe" in document:
        raise click.UsageError("SPEC has a recipe already; give its steps there, or with --step alone")
    filled = {**document, "recipe": [_step(text) for text in steps]} if steps else dict(document)
    for text in settings:
        _put(filled, *_pair(text))
    return filled


def _step(text: str) -> dict[str, Any]:
    kind, _, rest = text.partition(",")
    step: dict[str, Any] = {"kind": kind.strip()}
    for key, value in _pairs(text, rest):
        _put(step, key, value)
    return step


def _pairs(text: str, rest: str) -> Iterable[tuple[str, Any]]:
    while rest.strip():
        key, equals, rest = rest.partition("=")
        if not (equals and key.strip()):
            raise click.UsageError(f"--step {text!r} has an option without a value; write KIND,KEY=VALUE,KEY=VALUE")
        value, rest = _first(rest.lstrip())
        yield key.strip(), value


def _first(text: str) -> tuple[Any, str]:
    """The value that a text begins with, and what is left behind the comma after it."""
    try:
        value, end = _DECODER.raw_decode(text)
        after = text[end:].lstrip()
        if not after or after.startswith(","):
            return value, after[1:]
    except (ValueError, RecursionError):
        pass
    word, _, rest = text.partition(",")
    return word.strip(), rest


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (equals and key.strip()):
        raise click.UsageError(f"--set takes KEY=VALUE, such as constraints.min_speedup=2, and not {text!r}")
    try:
        return key.strip(), json.loads(value)
    except (ValueError, RecursionError):
        return key.strip(), value


def _put(document: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for name in path:
        inner = document.get(name)
        document[name] = dict(inner) if isinstance(inner, dict) else {}
        document = document[name]
    document[last] = value
