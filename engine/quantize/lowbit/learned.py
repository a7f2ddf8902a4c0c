"""Learned rounding: each weight goes to the level below it or above it, whichever helps the layer's output.

AdaRound (Nagel et al. 2020, arXiv 2004.10568): h(v) = clip(1.2 sigmoid(v) - 0.1, 0, 1) is how far a weight is lifted
above its lower level (equation 23), and 1 - |2h - 1|^beta pushes h to an end while beta falls (equation 24). The error
of the output, with the inputs that the rounded layers before it give (section 3.4), is computed from second moments,
so that every iteration sees all calibration data. At the end each weight may still move to a better level while all
others stay: coordinate descent on the same error, as Zhang et al. 2024, arXiv 2403.07134.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.quantize.lowbit.grid import Grid, as_rows
from engine.quantize.lowbit.patches import Moments

_STRETCH, _OFFSET = 1.2, -0.1
_BETA = (20.0, 2.0)
_WARM_UP = 0.2
_RATE = 1e-2
_PUSH = 0.01
_SWEEPS = 4


@dataclass(frozen=True)
class Row:
    """A layer's weight as rows, with scale and zero point spread out beside it."""

    weight: Tensor
    scale: Tensor
    zero: Tensor
    top: int


def learn(
    weight: Tensor, axis: int, grid: Grid, moments: Moments, iterations: int, tick: Callable[[float], None]
) -> Tensor:
    """The levels of a weight, as uint8 in its shape; ``tick`` hears of each iteration as a fraction."""
    rows = _rows(weight, axis, grid)
    start = rows.weight / rows.scale + rows.zero
    lower = start.floor()
    lift = _relaxed(rows, lower, start - lower, moments, iterations, tick) if iterations else (start - lower).round()
    learned = (lower + lift).clamp(0, rows.top)
    nearest = start.round().clamp(0, rows.top)
    fixed = rows.weight == 0
    learned = torch.where(fixed, rows.zero, learned)
    best = _better(rows, _descend(rows, learned, fixed, moments), _descend(rows, nearest, fixed, moments), moments)
    return _shaped(best, weight, axis)


def _rows(weight: Tensor, axis: int, grid: Grid) -> Row:
    scale, zero = (as_rows(each.expand(grid.view).reshape(weight.shape), axis) for each in (grid.scale, grid.zero))
    return Row(as_rows(weight, axis), scale, zero, grid.top)


def _shaped(rows: Tensor, weight: Tensor, axis: int) -> Tensor:
    return rows.reshape(weight.transpose(0, axis).shape).transpose(0, axis).contiguous().to(torch.uint8)


def _relaxed(
    rows: Row, lower: Tensor, rest: Tensor, moments: Moments, iterations: int, tick: Callable[[float], None]
) -> Tensor:
    """0 or 1 for every weight: its lower level, or the one above."""
    v = torch.logit((rest.clamp(1e-3, 1 - 1e-3) - _OFFSET) / _STRETCH)
    linear = moments.linear(rows.weight)
    # In units of the rounding error of a whole step, so that one push fits every layer.
    unit = (moments.diagonal().repeat_interleave(len(v) // len(moments.second), 0) * rows.scale.square()).mean()
    first, second = torch.zeros_like(v), torch.zeros_like(v)
    for index in range(iterations):
        tick(index / iterations)
        s = torch.sigmoid(v)
        h = (s * _STRETCH + _OFFSET).clamp(0, 1)
        inside = ((h > 0) & (h < 1)) * (_STRETCH * s * (1 - s))
        levels = lower + h
        free = (levels >= 0) & (levels <= rows.top)
        real = (levels.clamp(0, rows.top) - rows.zero) * rows.scale
        slope = 2 * (moments.times(real) - linear) * rows.scale * free / unit
        if (done := index / iterations) > _WARM_UP:
            part = (done - _WARM_UP) / (1 - _WARM_UP)
            beta = _BETA[1] + (_BETA[0] - _BETA[1]) * (1 - part)
            away = 2 * h - 1
            slope -= _PUSH * 2 * beta * away.sign() * away.abs() ** (beta - 1)
        slope *= inside
        first.lerp_(slope, 0.1)
        second.lerp_(slope.square(), 0.001)
        v -= _RATE * (first / (1 - 0.9 ** (index + 1))) / ((second / (1 - 0.999 ** (index + 1))).sqrt() + 1e-8)
    return (v >= 0).float()


def _descend(rows: Row, levels: Tensor, fixed: Tensor, moments: Moments) -> Tensor:
    """Column by column to the best level given all others; no step makes the error larger."""
    levels = levels.clone()
    groups, linear = len(moments.second), moments.linear(rows.weight)
    slope = moments.times((levels - rows.zero) * rows.scale) - linear
    diagonal = moments.diagonal().repeat_interleave(len(levels) // groups, 0)
    for _ in range(_SWEEPS):
        before = levels.clone()
        for column in range(levels.shape[1]):
            curve = diagonal[:, column] * rows.scale[:, column]
            wanted = levels[:, column] - slope[:, column] / torch.where(curve == 0, torch.inf, curve)
            moved = torch.where(fixed[:, column], levels[:, column], wanted.round().clamp(0, rows.top))
            change = (moved - levels[:, column]) * rows.scale[:, column]
            levels[:, column] = moved
            step = change.reshape(groups, -1, 1) * moments.second[:, column, None, :]
            slope += step.flatten(0, 1)
        if torch.equal(before, levels):
            break
    return levels


def _better(rows: Row, one: Tensor, other: Tensor, moments: Moments) -> Tensor:
    """For every output channel the levels with the smaller error."""
    errors = [moments.error(rows.weight, (each - rows.zero) * rows.scale) for each in (one, other)]
    return torch.where((errors[0] <= errors[1])[:, None], one, other)
