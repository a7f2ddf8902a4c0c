"""A small adversarial perturbation that is found by asking: random search, as Square Attack does it (Andriushchenko
et al. 2020, arXiv 1912.00049), with few tries.

It needs no gradients, so that a file of integers is attacked just as its baseline is, each model by itself. What it
does not find may still be there: a stronger attack would leave less, and nothing is proved by what is left.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[Any]
Rows = NDArray[np.int64]
Margin = Callable[[Array, Rows], NDArray[np.float64]]
"""``margin(values, rows)``: for these samples with these values, how far each answer is from being wrong."""

TRIES = 40
# The share of a sample that a try changes, at first and at last.
_FIRST, _LAST = 0.5, 0.01


def attacked(
    margin: Margin, x: Array, furthest: Array, ends: tuple[Array, Array], flat: bool, won: float, random: Generator
) -> Array:
    """The worst that was found for each sample, no number of it further than ``furthest`` from where it was, nor beyond
    ``ends``. A sample whose margin is ``won`` or less is left in peace.

    The tries follow from ``random`` alone. Each moves one part of all samples as far as it may go: a square, or a span
    where samples are ``flat``; what makes an answer no better stays.
    """
    low = np.maximum(x - furthest, ends[0]).astype(x.dtype)
    high = np.minimum(x + furthest, ends[1]).astype(x.dtype)
    worst = x.copy()
    left = margin(worst, np.arange(len(x)))
    for index in range(TRIES):
        part, up = _move(x.shape, flat, index, random)
        active = np.flatnonzero(left > won)
        if not len(active):
            break
        moved = np.where(up[active], high[active], low[active])
        tried = np.where(part, moved, worst[active])
        found = margin(tried, active)
        better = found <= left[active]
        worst[active[better]], left[active[better]] = tried[better], found[better]
    return worst


def _move(
    shape: tuple[int, ...], flat: bool, index: int, random: Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which numbers of a sample move, and for each sample whether they go up; both as wide as numpy needs them."""
    share = _FIRST * (_LAST / _FIRST) ** (index / (TRIES - 1))
    if flat:
        part = _span(shape[1:], share, random)
        return part, random.random(shape) < 0.5
    if index == 0:
        stripes = (*shape[:-2], 1, shape[-1])
        return np.ones((1,) * (len(shape) - 1), np.bool_), random.random(stripes) < 0.5
    return _square(shape[1:], share, random), random.random((*shape[:-2], 1, 1)) < 0.5


def _square(shape: tuple[int, ...], share: float, random: Generator) -> NDArray[np.bool_]:
    part = np.zeros(shape, np.bool_)
    sides = [max(1, round(size * share**0.5)) for size in shape[-2:]]
    top, left = (int(random.integers(0, size - side + 1)) for size, side in zip(shape[-2:], sides, strict=True))
    part[..., top : top + sides[0], left : left + sides[1]] = True
    return part


def _span(shape: tuple[int, ...], share: float, random: Generator) -> NDArray[np.bool_]:
    size = int(np.prod(shape))
    length = max(1, round(size * share))
    start = int(random.integers(0, size - length + 1))
    part = np.zeros(size, np.bool_)
    part[start : start + length] = True
    return part.reshape(shape)
