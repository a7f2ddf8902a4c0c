"""``.safetensors`` files, mapped into memory. The library checks header and offsets; sizes are bounded here first."""

import struct
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open

from engine.weights.limits import WeightLimits
from engine.weights.refusals import too_large, unreadable

_OPENING: Final = b"{"


def looks_like_safetensors(path: Path) -> bool:
    """Whether the file starts with the length of a JSON header."""
    with path.open("rb") as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == _OPENING and struct.unpack("<Q", start[:8])[0] <= path.stat().st_size


def read_safetensors(path: Path, limits: WeightLimits) -> dict[str, torch.Tensor]:
    """Every tensor by its name.

    Raises:
        PithError: ``model_too_large`` or ``weights_unreadable``.
    """
    with path.open("rb") as file:
        (header,) = struct.unpack("<Q", file.read(8))
    if header > limits.header:
        too_large("The header of the safetensors file", header, limits.header)
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            if len(names) > limits.tensors:
                too_large("The number of tensors", len(names), limits.tensors)
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, AttributeError, KeyError, RuntimeError, ValueError, TypeError) as error:
        unreadable(f"its safetensors header is wrong: {_plain(str(error))}")


def _plain(text: str) -> str:
    """One printable line: the library repeats parts of the header."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200])
