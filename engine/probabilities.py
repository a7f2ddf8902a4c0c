"""Scores of classes as probabilities, whichever of the two a model gives."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Probabilities that have been rounded to eight bits are a little off, and of many classes most become zero.
_ROUNDED, _MISSING = 0.01, 0.1


def are_probabilities(outputs: NDArray[Any]) -> bool:
    """Whether these rows, all of them together, lie between 0 and 1 and add up to 1."""
    within = bool((outputs >= -_ROUNDED).all() and (outputs <= 1 + _ROUNDED).all())
    return within and abs(float(outputs.sum(axis=1).mean()) - 1) <= _MISSING


def probabilities(outputs: NDArray[Any], already: bool) -> NDArray[np.float64]:
    """(samples, classes): the outputs themselves where they are probabilities ``already``, else their softmax. What is
    no number is 0."""
    given = outputs.astype(np.float64)
    if not already:
        with np.errstate(invalid="ignore", over="ignore"):
            given = np.exp(given - given.max(axis=1, keepdims=True))
            given = given / given.sum(axis=1, keepdims=True)
    return np.clip(np.nan_to_num(given), 0.0, 1.0)
