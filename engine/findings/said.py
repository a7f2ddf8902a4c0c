"""What a model says about a sample, in words."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LONGEST, _NUMBERS = 80, 4


def class_name(names: tuple[str, ...], number: int) -> str:
    """The name of a class; its number, where it has none."""
    return names[number][:_LONGEST] if number < len(names) else str(number)


def numbers(values: NDArray[Any]) -> str:
    """The first numbers of an output or a target."""
    flat = np.asarray(values).reshape(-1)
    said = ", ".join(f"{float(value):.4g}" for value in flat[:_NUMBERS])
    return said if len(flat) <= _NUMBERS else f"{said}, … ({len(flat)} numbers)"
