"""Gains that were moved between layers, as equalization before quantizing does, and that change no answer.

A weight that is the old one times a gain for each output and one for each input, but for little, is taken for such a
one. Its layer is then held against the old one without these gains.
"""

import numpy as np
from numpy.typing import NDArray

_SWEEPS = 20
_CHANGE = 0.02
_LEFT = 0.25

Weight = NDArray[np.float32]


def without_gains(old: Weight, new: Weight) -> Weight | None:
    """The new weight without gains; None where they explain less than three quarters of its change (squared), or where
    there is next to none."""
    change = _power(new - old)
    if old.ndim < 2 or change <= _CHANGE**2 * _power(old):
        return None
    kernels = (*old.shape[:2], -1)
    given, made = (np.linalg.norm(each.reshape(kernels).astype(np.float64), axis=2) for each in (old, new))
    there = (given > 0) & (made > 0)
    weights = np.where(there, given**2, 0.0)
    logs = np.where(there, np.log(np.where(there, made, 1.0) / np.where(there, given, 1.0)), 0.0)
    rows, columns = np.zeros((len(old), 1)), np.zeros((1, old.shape[1]))
    for _ in range(_SWEEPS):
        rows = _mean(weights, logs - columns, axis=1)
        columns = _mean(weights, logs - rows, axis=0)
    gains = np.exp(rows + columns).reshape(*old.shape[:2], *[1] * (old.ndim - 2))
    undone: Weight = (new / gains).astype(np.float32)
    return undone if _power(undone - old) < _LEFT * change else None


def _mean(weights: NDArray[np.float64], logs: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    total = weights.sum(axis=axis, keepdims=True)
    mean: NDArray[np.float64] = (weights * logs).sum(axis=axis, keepdims=True) / np.where(total > 0, total, 1.0)
    return mean


def _power(array: NDArray[np.floating]) -> float:
    return float((array.astype(np.float64) ** 2).sum())
