"""What layers will be once channels are gone, from facts alone: exact widths, estimated weights.

Which layer feeds which is not among the facts. The widest layer before it whose width fits is
taken for it, and of several the nearest.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

from pith.facts import LayerFacts

FEW = 3
"""Inputs that are a picture's channels, or one of a depthwise convolution, where all layers are wider."""


def left_alone(layers: tuple[LayerFacts, ...], ignored: Mapping[str, str]) -> dict[str, str]:
    """Layers that keep their channels, and why: ``ignored`` ones, those that cannot lose any, and their partners."""
    why = {layer.name: layer.left_alone for layer in layers if layer.left_alone} | dict(ignored)
    held = {layer.group: layer.name for layer in layers if layer.name in ignored and layer.group is not None}
    for layer in layers:
        if layer.group in held and layer.name not in why:
            why[layer.name] = f"its channels are those of {held[layer.group]}, which is left alone"
    return {layer.name: why[layer.name] for layer in layers if layer.name in why}


def channels(layers: tuple[LayerFacts, ...]) -> int:
    """Output channels of all these layers, those that stay among them."""
    return sum(layer.width or _outputs(layer) for layer in layers)


def _outputs(layer: LayerFacts) -> int:
    return sum(layer.shape[1:2] if layer.kind.startswith("ConvTranspose") else layer.shape[:1])


def widths_after(layers: tuple[LayerFacts, ...], ratio: float, unit: int) -> dict[str, int]:
    """Channels that each of these layers shall have: a multiple of ``unit``, and never none."""
    widths = {layer.name: layer.width for layer in layers if layer.width is not None}
    return {name: min(size, max(unit, round(size * (1 - ratio) / unit) * unit)) for name, size in widths.items()}


@dataclass(frozen=True)
class Narrowing:
    """The next widths of layers that lose channels together."""

    group: str
    widths: dict[str, int]


def narrowings(layers: tuple[LayerFacts, ...], unit: int) -> list[Narrowing]:
    """All that these layers may lose, a multiple of ``unit`` at a time, in such an order that all lose like parts."""
    found: dict[tuple[float, str], dict[str, int]] = defaultdict(dict)
    for layer in layers:
        width, end = layer.width or 0, (layer.width or 0) % unit or unit
        group, start = layer.name if layer.group is None else str(layer.group), 0
        while width - end >= unit:
            found[(start + end) / 2 / width, group][layer.name] = width - end
            start, end = end, end + unit
    return [Narrowing(group, found[part, group]) for part, group in sorted(found)]


def narrowed(layers: tuple[LayerFacts, ...], widths: Mapping[str, int]) -> tuple[LayerFacts, ...]:
    """All layers with their new widths, and with about the weights and multiplications that are left to them."""
    return tuple(_narrowed(layer, widths, layers[:index]) for index, layer in enumerate(layers))


def least_left(layers: tuple[LayerFacts, ...], widths: Mapping[str, int], what: Literal["parameters", "macs"]) -> float:
    """No more than what is left of all layers with these widths, whichever layer feeds which."""
    kept = {layer.name: _kept(layer, widths) for layer in layers if layer.name in widths}
    least, narrowest = (
        min(kept.values(), default=1.0),
        min((layer.width or 0 for layer in layers if layer.name in kept), default=0),
    )

    def left(layer: LayerFacts) -> float:
        ends = len(layer.shape) > 1 and _inputs(layer) <= FEW and narrowest > 2 * FEW
        return kept.get(layer.name, 1.0 if layer.width else least) * (1.0 if ends or len(layer.shape) < 2 else least)

    return sum((getattr(layer, what) or 0) * left(layer) for layer in layers)


def _narrowed(layer: LayerFacts, widths: Mapping[str, int], before: tuple[LayerFacts, ...]) -> LayerFacts:
    if not layer.shape or layer.kind == "Embedding":
        return layer
    kept = _kept(layer, widths) if layer.width else _feeding(layer.shape[0], widths, before)
    left = kept * (_feeding(_inputs(layer), widths, before) if len(layer.shape) > 1 else 1.0)
    weights = prod(layer.shape)
    return layer.model_copy(
        update={
            "width": widths.get(layer.name, layer.width),
            "shape": tuple(_shape(layer, kept, left)),
            "parameters": round(weights * left + (layer.parameters - weights) * kept),
            "macs": None if layer.macs is None else round(layer.macs * left),
        }
    )


def _kept(layer: LayerFacts, widths: Mapping[str, int]) -> float:
    return widths.get(layer.name, layer.width or 1) / (layer.width or 1)


def _inputs(layer: LayerFacts) -> int:
    return layer.shape[0] if layer.kind.startswith("ConvTranspose") else layer.shape[1]


def _feeding(channels: int, widths: Mapping[str, int], before: tuple[LayerFacts, ...]) -> float:
    """The fraction that is left of the channels that come in; a flattened picture has several for each."""
    fits = [layer for layer in reversed(before) if layer.width and channels > 1 and channels % layer.width == 0]
    feeder = max(fits, key=lambda layer: layer.width or 0, default=None)
    return 1.0 if feeder is None else _kept(feeder, widths)


def _shape(layer: LayerFacts, kept: float, left: float) -> Iterator[int]:
    out_place = 1 if layer.kind.startswith("ConvTranspose") else 0
    for place, size in enumerate(layer.shape):
        scale = kept if place == out_place else left / kept if place == 1 - out_place else 1.0
        yield max(1, round(size * scale))
