"""Files that are pickles in one wrapping or another: found by looking, never opened."""

import pickletools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from engine.zip_index import Member

_PROTOCOL = re.compile(rb"\x80[\x01-\x05]")
_LEGACY = re.compile(rb"\x80[\x01-\x05](?:\x8a\x0al\xfc|c|\}|\(|\x95)")
_MOST = 1 << 20


def pickled_file(path: Path) -> str | None:
    """What a file that is no zip asks a pickle loader for; None where it is no pickle."""
    with path.open("rb") as file:
        data = file.read(_MOST)
    if _PROTOCOL.match(data):
        return _describe(data)
    return None


def pickled_archive(file: BinaryIO, members: Iterable[Member]) -> str | None:
    """The same for a zip: what ``torch.save`` or TorchScript wrote."""
    names = {member.name.partition("/")[2]: member for member in members}
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        return "TorchScript"
    pickle = names.get("data.pkl")
    if pickle is None:
        return None
    file.seek(pickle.start)
    return _describe(file.read(min(pickle.packed, _MOST)))


def _describe(data: bytes) -> str:
    names = list(dict.fromkeys(_globals(data)))
    foreign = [name for name in names if not name.startswith(("torch._utils.", "collections.", "torch.FloatStorage"))]
    return f"it asks for {', '.join((foreign or names)[:3])}" if names else "of plain containers"


def _globals(data: bytes) -> Iterator[str]:
    """Globals named by the pickles in ``data``; the walk ends where they cannot be read."""
    texts: list[str] = []
    at = 0
    while at < len(data):
        try:
            for opcode, argument, position in pickletools.genops(data[at:]):
                end = position
                if opcode.name in ("GLOBAL", "INST"):
                    yield _printable(str(argument).replace(" ", "."))
                elif opcode.name == "STACK_GLOBAL":
                    yield _printable(".".join(texts[-2:]))
                elif isinstance(argument, str):
                    texts.append(argument)
        except Exception:  # a damaged pickle: what was found so far is all that is needed
            return
        at += end + 1


def _printable(name: str) -> str:
    return ascii(name)[1:-1][:80]
