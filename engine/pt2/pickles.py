"""Files that are pickles in one wrapping or another: found by looking, never opened."""

import io
import pickletools
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from engine.zip_index import Member

# A pickle says its protocol first, or (protocol 0) names a global or opens a container.
_PICKLE = re.compile(rb"\x80[\x01-\x05]|\(?[cil][\w.]+\n[\w.]+\n|\((?:dp|lp|tp)\d")
_MOST_BYTES, _MOST_OPCODES, _MOST_PICKLES = 1 << 20, 200_000, 16
_PLAIN = ("torch._utils._rebuild", "collections.OrderedDict", "torch.FloatStorage")


def pickled_file(path: Path) -> str | None:
    """What a file that is no zip asks a pickle loader for; None where it is no pickle."""
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES)
    return _describe(data) if _PICKLE.match(data) else None


def pickled_archive(file: BinaryIO, members: Iterable[Member]) -> str | None:
    """The same for a zip: what ``torch.save`` or TorchScript wrote."""
    names = {member.name.partition("/")[2]: member for member in members}
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        return "TorchScript"
    pickle = names.get("data.pkl")
    if pickle is None:
        return None
    file.seek(pickle.start)
    return _describe(file.read(min(pickle.packed, _MOST_BYTES)))


def _describe(data: bytes) -> str:
    names = list(dict.fromkeys(pickled_globals(data)))
    telling = [name for name in names if not name.startswith(_PLAIN)] or names
    return f"it asks for {', '.join(telling[:3])}" if telling else "of plain values"


def pickled_globals(data: bytes) -> Iterator[str]:
    """Globals named by the pickles that ``data`` starts with; the walk ends where they cannot be read."""
    file = io.BytesIO(data)
    for _ in range(_MOST_PICKLES):
        texts = ["", ""]
        try:
            for opcode, argument, _ in islice(pickletools.genops(file), _MOST_OPCODES):
                if opcode.name in ("GLOBAL", "INST"):
                    yield _printable(str(argument).replace(" ", "."))
                elif opcode.name == "STACK_GLOBAL":
                    yield _printable(".".join(texts[-2:]))
                elif isinstance(argument, str):
                    texts.append(argument)
        except Exception:  # no further pickle, or a damaged one: the names so far say enough
            return


def _printable(name: str) -> str:
    return ascii(name)[1:-1][:80]
