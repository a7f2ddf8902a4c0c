"""How channels pass through a change of shape: merged with fixed dimensions, set apart again, or held in place."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from engine.prune.axes import Axes, Axis, Places, Value

Shape = tuple[int, ...]
Part = Callable[[Places, list[int]], list[Axis] | None]
Parting = Callable[[list[int], Places, list[int]], list[Axis] | None]
"""``parting(dims, places, along)`` is told of places that are set apart along several dimensions, as channels are into
heads and their sizes: which dimensions of the value they fill, the places in that shape, and those of its dimensions
along which they differ. It gives the axes, or None to hold all of them."""


def reshaped(
    axes: Axes, value: Value, before: Shape, after: Shape, where: str, parting: Parting | None = None
) -> Value:
    """The axes of a value of the shape ``before`` once it has the shape ``after``."""
    result: list[Axis] = []
    for sources, targets in _blocks(before, after):
        parts = [value[index] for index in sources]
        sizes = [before[index] for index in sources]
        wanted = tuple(after[index] for index in targets)
        if sizes == list(wanted):
            result.extend(parts)
        else:
            result.extend(_block(axes, parts, sizes, wanted, where, parting and partial(parting, targets)))
    return tuple(result)


def _blocks(before: Shape, after: Shape) -> Iterator[tuple[list[int], list[int]]]:
    """Runs of dimensions on both sides with the same number of elements, as short as they can be."""
    left = right = 0
    while left < len(before) or right < len(after):
        sources, targets, here, there = [], [], 1, 1
        while left < len(before) or right < len(after):
            if here <= there and left < len(before):
                sources.append(left)
                here, left = here * before[left], left + 1
            elif right < len(after):
                targets.append(right)
                there, right = there * after[right], right + 1
            else:
                sources.append(left)
                here, left = here * before[left], left + 1
            if here == there and sources and targets:
                break
        yield sources, targets


def _block(axes: Axes, parts: list[Axis], sizes: list[int], wanted: Shape, where: str, part: Part | None) -> list[Axis]:
    movable = [index for index, (axis, size) in enumerate(zip(parts, sizes, strict=True)) if axis is not None]
    if not movable:
        return [None] * len(wanted)
    if len(movable) > 1:
        movable = _without_stretched(axes, parts, movable)
    if len(movable) > 1:
        return _held(axes, parts, wanted, f"two sizes that may shrink are merged at {where}")
    (index,) = movable
    shape = [1] * len(sizes)
    shape[index] = sizes[index]
    merged = np.broadcast_to(parts[index].reshape(shape), sizes).reshape(wanted)  # type: ignore[union-attr]
    varying = [dim for dim in range(len(wanted)) if not _constant_along(merged, dim)]
    if not varying and sizes[index] > 1:
        varying = [dim for dim, size in enumerate(wanted) if size > 1][:1]
    if len(varying) > 1:
        if part is not None and (parted := part(merged, varying)) is not None:
            return parted
        sizes_text = "x".join(map(str, wanted))
        return _held(
            axes, parts, wanted, f"tied to parts (attention heads, for one) by a reshape to {sizes_text} at {where}"
        )
    result: list[Axis] = [None] * len(wanted)
    if varying:
        result[varying[0]] = np.moveaxis(merged, varying[0], 0).reshape(wanted[varying[0]], -1)[:, 0].copy()
    elif 1 in wanted:
        result[wanted.index(1)] = parts[index]
    return result


def _without_stretched(axes: Axes, parts: list[Axis], movable: list[int]) -> list[int]:
    """Where repeats of keys are merged with their heads, it is the heads that may go; how often they repeat stays."""
    alike = [index for index in movable if (axis := parts[index]) is not None and axes.alike(axis)]
    if len(movable) - len(alike) != 1:
        return movable
    for index in alike:
        axes.pin(parts[index], "repeated")
    return [index for index in movable if index not in alike]


def _constant_along(places: np.ndarray, dim: int) -> bool:
    return bool((places == places.take([0], axis=dim)).all())


def _held(axes: Axes, parts: list[Axis], wanted: Shape, reason: str) -> list[Axis]:
    for axis in parts:
        axes.pin(axis, reason)
    return [None] * len(wanted)
