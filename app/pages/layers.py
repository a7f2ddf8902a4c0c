"""A model's layers as figures: two ribbons, where the parameters are and where the work is, and the tree of names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pith.facts import LayerFacts

KINDS = (("Conv", "one", "convolutions"), ("Linear", "two", "linear layers"), ("Embedding", "three", "embeddings"))
OTHER = ("four", "others")


@dataclass(frozen=True)
class Band:
    """One layer in a ribbon that is 1000 wide."""

    layer: LayerFacts
    x: float
    width: float
    share: float
    colour: str


@dataclass(frozen=True)
class Row:
    """One layer with its shares of the whole; ``macs_share`` is 0 where nothing can be counted."""

    layer: LayerFacts
    share: float
    macs_share: float
    colour: str


@dataclass
class Branch:
    """One dotted name: a layer, or what holds layers. ``name`` is its last part."""

    name: str
    layer: LayerFacts | None = None
    parameters: int = 0
    macs: int = 0
    layers: int = 0
    branches: dict[str, "Branch"] = field(default_factory=dict)


def rows(layers: Sequence[LayerFacts]) -> tuple[Row, ...]:
    whole, work = sum(each.parameters for each in layers), sum(each.macs or 0 for each in layers)
    return tuple(
        Row(each, _share(each.parameters, whole), _share(each.macs or 0, work), colour(each)) for each in layers
    )


def ribbon(layers: Sequence[LayerFacts], of: str) -> tuple[Band, ...]:
    """``of`` is parameters or macs; nothing where there is none of it."""
    values = [getattr(each, of) or 0 for each in layers]
    return tuple(_bands(layers, values, sum(values))) if any(values) else ()


def _bands(layers: Sequence[LayerFacts], values: Sequence[int], whole: int) -> Iterator[Band]:
    before = 0
    for layer, value in zip(layers, values, strict=True):
        if value:
            yield Band(layer, 1000 * before / whole, 1000 * value / whole, value / whole, colour(layer))
        before += value


def legend(layers: Sequence[LayerFacts]) -> tuple[tuple[str, str], ...]:
    """The colours that these layers have, and what they mean."""
    there = {colour(each) for each in layers}
    return tuple((each, said) for each, said in (*(kind[1:] for kind in KINDS), OTHER) if each in there)


def tree(layers: Sequence[LayerFacts]) -> Branch:
    """All names under one root. What holds one thing alone keeps its place: names are read as they are written."""
    root = Branch("")
    for layer in layers:
        here = root
        for part in layer.name.split("."):
            _add(here, layer)
            here = here.branches.setdefault(part, Branch(part))
        _add(here, layer)
        here.layer = layer
    return root


def _add(branch: Branch, layer: LayerFacts) -> None:
    branch.parameters += layer.parameters
    branch.macs += layer.macs or 0
    branch.layers += 1


def colour(layer: LayerFacts) -> str:
    return next((colour for word, colour, _ in KINDS if word in layer.kind), OTHER[0])


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
