"""Every hostile upload there is, by its name."""

from collections.abc import Callable, Iterable

from tests.hostile.architectures import ARCHITECTURES
from tests.hostile.archives import ARCHIVES
from tests.hostile.arrays import ARRAYS
from tests.hostile.case import Hostile
from tests.hostile.folders import FOLDERS
from tests.hostile.graphs import GRAPHS
from tests.hostile.impostors import IMPOSTORS
from tests.hostile.media import MEDIA
from tests.hostile.programs import PROGRAMS
from tests.hostile.tables import TABLES
from tests.hostile.tensors import TENSORS
from tests.hostile.weights import WEIGHTS

_SHELVES = (
    *(WEIGHTS, TENSORS, PROGRAMS, FOLDERS, GRAPHS, ARCHITECTURES),
    *(ARCHIVES, MEDIA, ARRAYS, TABLES, IMPOSTORS),
)
CORPUS: dict[str, Hostile] = {case.name: case for shelf in _SHELVES for case in shelf}
assert len(CORPUS) == sum(map(len, _SHELVES)), "two cases have one name"
ENDLESS = ("onnx: a loop of 2^62 rounds",)
"""Ended by a time limit alone."""


def sample() -> list[Hostile]:
    """About a tenth of the corpus: two for each reader that runs their code, one for each code at the door, and of each
    shelf every sixteenth."""
    chosen = [one for reader in _kinds(lambda one: one.unsafe) for one in reader[:2]]
    chosen += [door[0] for door in _kinds(lambda one: one.at_the_door)]
    chosen += [one for shelf in _SHELVES for one in shelf[::16] if one.name not in ENDLESS]
    return list({one.name: one for one in chosen}.values())


def _kinds(kind: Callable[[Hostile], str | None]) -> Iterable[list[Hostile]]:
    """The cases of each kind; those of no kind are left out."""
    found: dict[str, list[Hostile]] = {}
    for one in CORPUS.values():
        if name := kind(one):
            found.setdefault(name, []).append(one)
    return found.values()
