"""Names and shapes of two state dicts held against each other."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import torch

_COUNTER: Final = "num_batches_tracked"
_OLD_BUFFERS: Final = ("position_ids", "token_type_ids", "relative_position_index")


class Mismatch(NamedTuple):
    """Names without a counterpart, and names whose shapes differ (the file's first)."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]

    def differences(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.shapes)


def compare(wanted: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]) -> Mismatch:
    """What differs between the names and shapes of two state dicts."""
    there = {id(wanted[name]) for name in wanted if name in given}
    missing = [name for name, one in wanted.items() if name not in given and id(one) not in there]
    unexpected = [name for name in given if name not in wanted]
    pairs = {name: (tuple(given[name].shape), tuple(wanted[name].shape)) for name in given if name in wanted}
    return Mismatch(
        tuple(name for name in missing if not name.endswith(_COUNTER)),
        tuple(name for name in unexpected if not name.endswith((_COUNTER, *_OLD_BUFFERS))),
        {name: pair for name, pair in pairs.items() if pair[0] != pair[1]},
    )
