"""Layers named by shell patterns over dotted names."""

from collections.abc import Iterable, Iterator
from fnmatch import filter as matching
from typing import Annotated

from pydantic import StringConstraints

from pith.outlook import Refusal

# No control characters: PostgreSQL cannot store a NUL in JSON.
LayerPattern = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,255}$")]


def named_by(patterns: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """The names that a pattern matches, each with that pattern."""
    known = list(names)
    return {name: pattern for pattern in patterns for name in matching(known, pattern)}


def unmatched(patterns: Iterable[str], names: Iterable[str], field: str) -> Iterator[Refusal]:
    """A refusal for every pattern of the option ``field`` that matches no layer: a mistake, and never a silent one."""
    known = list(names)
    for index, pattern in enumerate(patterns):
        if not matching(known, pattern):
            shown = ", ".join(known[:40]) + (", …" if len(known) > 40 else "")
            reason = f"{field} has {pattern!r}, which matches no layer"
            yield Refusal(reason=reason, way_out=f"name some of {shown}", field=f"{field}/{index}")
