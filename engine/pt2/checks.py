"""Small checks that build a JSON value anew out of the parts that passed. What no check names is not copied."""

import math
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], Any]
_INT64 = 1 << 63
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxstring = 2, 3, 3, 60


class Wrong(Exception):
    """A value is not what it must be; ``path`` grows outwards as the exception leaves the structure."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []

    @property
    def where(self) -> str:
        return ".".join(reversed(self.path))[:200]


def show(value: object) -> str:
    """A value fit for a message: short, on one line, printable."""
    text = _SHORT.repr(value).encode("ascii", "backslashreplace").decode()
    return text if len(text) <= 100 else f"{text[:97]}..."


def record(**fields: Check) -> Check:
    """A JSON object with all of these fields; others are left out of the copy."""

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Wrong(f"{show(value)} is no object")
        return {name: _field(value, name, inner) for name, inner in fields.items()}

    return check


def union(what: str, **kinds: Check) -> Check:
    """An object with exactly one field, which says its kind."""

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or len(value) != 1:
            raise Wrong(f"{show(value)} is no {what}")
        name = next(iter(value))
        if name not in kinds:
            raise Wrong(f"{show(name)} is no kind of {what}")
        return {name: _field(value, name, kinds[name])}

    return check


def list_of(inner: Check, most: int = 1 << 24) -> Check:
    def check(value: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) > most:
            raise Wrong(f"{show(value)} is no list of at most {most}")
        out = []
        try:
            for item in value:
                out.append(inner(item))
        except Wrong as wrong:
            wrong.path.append(str(len(out)))
            raise
        return out

    return check


def dict_of(key: Check, inner: Check) -> Check:
    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Wrong(f"{show(value)} is no object")
        return {key(name): _field(value, name, inner) for name in value}

    return check


def optional(inner: Check, default: Any = None) -> Check:
    """The value, or ``default`` where it is null or missing."""

    def check(value: Any) -> Any:
        return default if value is None else inner(value)

    return check


def one_of(*values: object) -> Check:
    def check(value: Any) -> Any:
        if not any(value == allowed and type(value) is type(allowed) for allowed in values):
            raise Wrong(f"{show(value)} is none of {', '.join(map(str, values))}")
        return value

    return check


def constant(value: Any) -> Check:
    """Whatever is there, this is written instead."""
    return lambda _: value


def integer(value: Any) -> int:
    if type(value) is not int or not -_INT64 <= value < _INT64:
        raise Wrong(f"{show(value)} is no 64-bit integer")
    return value


def natural(value: Any) -> int:
    if integer(value) < 0:
        raise Wrong(f"{value} is negative")
    return int(value)


def boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise Wrong(f"{show(value)} is neither true nor false")
    return value


def number(value: Any) -> float | str:
    """A float, in the form that torch writes: infinities and NaN are words."""
    if value in ("Infinity", "-Infinity", "NaN"):
        return str(value)
    if type(value) not in (int, float):
        raise Wrong(f"{show(value)} is no number")
    try:
        real = float(value)
    except OverflowError as error:
        raise Wrong("a number too large for a float") from error
    if math.isfinite(real):
        return real
    return "NaN" if math.isnan(real) else "Infinity" if real > 0 else "-Infinity"


def _field(value: Mapping[str, Any], name: str, inner: Check) -> Any:
    try:
        return inner(value.get(name))
    except Wrong as wrong:
        wrong.path.append(name if name.isprintable() else ascii(name))
        raise
