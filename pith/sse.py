"""Server-sent events, the reading half. Fields other than id, event and data are passed over."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Message(NamedTuple):
    """One message of the stream; ``id`` is what Last-Event-ID takes."""

    id: str
    event: str
    data: str


def messages(pieces: Iterable[bytes]) -> Iterator[Message]:
    """The messages in a body that arrives in pieces of any size.

    Lines end at line feeds alone, as Pith writes them: splitting at every Unicode line end would cut the
    JSON inside.
    """
    fields: dict[str, list[str]] = {}
    for line in _lines(pieces):
        if line:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
            continue
        if "data" in fields:
            yield Message(_last(fields, "id"), _last(fields, "event"), "\n".join(fields["data"]))
        fields = {}


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")


def _last(fields: dict[str, list[str]], name: str) -> str:
    return fields.get(name, [""])[-1]
