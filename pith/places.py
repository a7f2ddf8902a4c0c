"""Where features are taken for a distillation, and which of a teacher's go with which of a student's; from facts alone.

A place is a block or layer whose result is one tensor. Sizes that the placing goes by: the channels, and the rest.
"""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import NamedTuple, TypeVar

from pydantic import Field

from pith.base import Frozen
from pith.facts import ModelFacts
from pith.outlook import Refusal

DEPTHS = 3
NAMED = 20
_FIRST = ("Conv", "BatchNorm", "GroupNorm", "InstanceNorm")
PlaceName = str
Found = TypeVar("Found")


class HintPair(Frozen):
    """Two places whose features are compared."""

    student: PlaceName = Field(min_length=1, max_length=255, description="Dotted name of a block or layer.")
    teacher: PlaceName = Field(min_length=1, max_length=255, description="The same in the teacher.")


class Place(NamedTuple):
    """``shape`` is of the features, None where a size is dynamic; ``channels`` is the dimension that holds those."""

    name: str
    shape: tuple[int | None, ...]
    channels: int

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """All but the batch and the channels."""
        return tuple(size for dim, size in enumerate(self.shape) if dim not in (0, self.channels))


Pairs = tuple[tuple[Place, Place], ...]


def places(model: ModelFacts) -> dict[str, Place]:
    """Every place by its name, in the order in which they end."""
    layers = {layer.name: layer for layer in model.layers}
    found, kind, width = {}, "", None
    for hint in model.hints:
        if hint.name in layers and layers[hint.name].shape:
            kind, shape = layers[hint.name].kind, layers[hint.name].shape
            width = shape[1] if kind == "Embedding" or kind.startswith("ConvTranspose") else shape[0]
        if len(hint.shape) > 1:
            found[hint.name] = Place(hint.name, hint.shape, _channels(hint.shape, kind, width))
    return found


def paired(student: ModelFacts, teacher: ModelFacts, named: Sequence[HintPair]) -> Pairs:
    """The named pairs, which exist; without any, pairs that suit: the ends of the parts that work at one size where
    both models have pictures of features, else the same relative depths. Nothing where nothing suits."""
    mine, theirs = places(student), places(teacher)
    if named:
        return tuple((mine[pair.student], theirs[pair.teacher]) for pair in named)
    own, other = _inner(student, mine), _inner(teacher, theirs)
    for rank in (4, 3, 5, 2):
        here, there = _of_rank(own, rank), _of_rank(other, rank)
        if here and there:
            return _by_size(here, there) if rank in (4, 5) else by_depth(_blocks(here), _blocks(there), DEPTHS)
    return ((own[-1], other[-1]),) if own and other else ()


def by_depth(
    mine: Sequence[Found], theirs: Sequence[Found], most: int | None = None
) -> tuple[tuple[Found, Found], ...]:
    """As many pairs as both have, and ``most``, at the same relative depths; the last goes with the last."""
    count = min(len(mine), len(theirs), len(mine) if most is None else most)
    at = [(part + 1) / count for part in range(count)]
    return tuple((mine[round(part * len(mine)) - 1], theirs[round(part * len(theirs)) - 1]) for part in at)


def unknown_places(
    student: ModelFacts | None, teachers: Iterable[ModelFacts], named: Sequence[HintPair]
) -> Iterator[Refusal]:
    """A refusal for every name of no place."""
    asked = [("student", student), *(("teacher", teacher) for teacher in teachers)]
    for index, pair in enumerate(named):
        for side, model in asked:
            name = pair.student if side == "student" else pair.teacher
            if model is not None and name not in (known := places(model)):
                reason = f"hints name {name!r}, which is no place in the {side}"
                yield Refusal(reason=reason, way_out=f"name {_near(name, known)}", field=f"hints/{index}/{side}")


def _near(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = get_close_matches(name, names, 3, 0.6)
    if near:
        return " or ".join(near)
    return "one of " + ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")


def _channels(shape: tuple[int | None, ...], kind: str, width: int | None) -> int:
    """By the layer whose result it is, or was before something was added to it."""
    last = len(shape) - 1
    first = kind.startswith(_FIRST) or (not kind and len(shape) > 3)
    expected, other = (1, last) if first else (last, 1)
    return other if shape[other] == width != shape[expected] else expected


def _inner(model: ModelFacts, found: dict[str, Place]) -> list[Place]:
    """Those behind the first layer and before the one that gives the output."""
    order = list(found)
    layers = [layer.name for layer in model.layers if layer.name in found]
    if not layers:
        return list(found.values())
    start = min(order.index(name) for name in layers)
    head = model.head.name if model.head else None
    end = order.index(head) if head in found else max(order.index(name) for name in layers)
    return [found[name] for name in order[start:end]]


def _of_rank(found: Sequence[Place], rank: int) -> list[Place]:
    return [place for place in found if len(place.shape) == rank]


def _by_size(mine: Sequence[Place], theirs: Sequence[Place]) -> Pairs:
    """The last place of each size that both have; without one, by depth."""
    here, there = ({place.sizes: place for place in found} for found in (mine, theirs))
    shared = [sizes for sizes in here if sizes in there]
    if not shared:
        return by_depth(list(here.values()), list(there.values()), DEPTHS)
    return tuple((here[sizes], there[sizes]) for sizes in shared[-DEPTHS:])


def _blocks(found: list[Place]) -> list[Place]:
    """The outermost row of numbered blocks, such as ``encoder.layer.0``, ``encoder.layer.1``; without one, all."""
    rows: dict[str, list[Place]] = {}
    for place in found:
        parent, _, leaf = place.name.rpartition(".")
        if leaf.isdigit():
            rows.setdefault(parent, []).append(place)
    repeated = [row for row in rows.values() if len(row) > 1 and len({place.shape for place in row}) == 1]
    outer = min((place.name.count(".") for row in repeated for place in row), default=0)
    last = {place.name: index for index, place in enumerate(found)}
    outermost = [row for row in repeated if row[0].name.count(".") == outer]
    return max(outermost, key=lambda row: last[row[-1].name], default=found)
