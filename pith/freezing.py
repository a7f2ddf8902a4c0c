"""Which layers a fine-tuning step trains, named by patterns, and how they group into blocks."""

import re
from collections.abc import Iterable

_NUMBERED = re.compile(r"^(?:[^.]+\.)*?\d+(?=\.|$)")


def block_of(layer: str) -> str:
    """The block that a layer is in: its dotted name up to the first number (``layer1.0`` for ``layer1.0.conv1``), or
    the whole of it where there is none."""
    found = _NUMBERED.match(layer)
    return found.group() if found else layer


def in_blocks(layers: Iterable[str], opening: Iterable[str]) -> list[list[str]]:
    """Layers in their order, block by block. Only those of ``opening`` open a block; a norm alone, or a free tensor,
    belongs to the block before it, or to the first."""
    found: dict[str, list[str]] = {}
    openers, waiting = {block_of(layer) for layer in opening}, list[str]()
    last = ""
    for layer in layers:
        block = block_of(layer)
        if block in openers:
            found.setdefault(block, waiting).append(layer)
            last, waiting = block, []
        else:
            (found[last] if last else waiting).append(layer)
    return list(found.values()) or [waiting]
