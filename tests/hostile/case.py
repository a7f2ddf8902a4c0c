"""One hostile upload: how it is made, what its sender declares, and what it must be refused with."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

Kind = Literal["model", "dataset"]


class Canary(NamedTuple):
    """What code out of a file would touch: it makes a file, calls a port, and ends its own process.

    The last shows even where a sandbox forbids the others: the check then ends in another way than it must.
    """

    path: Path
    port: int

    @property
    def source(self) -> str:
        return (
            f"import os, socket\n"
            f"os.environ['PITH_CANARY'] = 'sang'\n"
            f"try: open({str(self.path)!r}, 'w').close()\n"
            f"except OSError: pass\n"
            f"try: socket.create_connection(('127.0.0.1', {self.port}), 1).close()\n"
            f"except OSError: pass\n"
            f"os._exit(86)\n"
        )

    @property
    def expression(self) -> str:
        """The same for what is evaluated and not executed."""
        return f"__import__('builtins').exec({self.source!r})"


class Payload:
    """Unpickling it runs the canary's code."""

    def __init__(self, canary: Canary) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (self.canary.source,)


Build = Callable[[Path, Canary], object]


class Hostile(NamedTuple):
    """``build`` writes the file; None where only an architecture is named. One of ``codes`` must come, with ``words``.

    ``unsafe`` names the reader in ``tests/hostile/fire.py`` under which the same file does run its code.
    ``at_the_door`` is the code with which the API refuses the upload itself, before any check.
    """

    name: str
    kind: Kind
    file_name: str
    build: Build | None
    codes: tuple[str, ...]
    words: str = ""
    architecture: Mapping[str, Any] | None = None
    schema: Mapping[str, Any] | None = None
    unsafe: str | None = None
    at_the_door: str | None = None


Case = Callable[..., Callable[[Build], Build]]


def into(cases: list[Hostile], kind: Kind, **defaults: Any) -> Case:
    """A decorator that puts a builder on the list: ``@case(name, file name, *codes, **fields)``."""

    def case(name: str, file_name: str, *codes: str, **fields: Any) -> Callable[[Build], Build]:
        def taken(build: Build) -> Build:
            cases.append(Hostile(name, kind, file_name, build, codes, **{**defaults, **fields}))
            return build

        return taken

    return case
