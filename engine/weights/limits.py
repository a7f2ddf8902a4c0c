"""Bounds on an untrusted file of weights."""

from typing import NamedTuple


class WeightLimits(NamedTuple):
    """Sizes in bytes. ``tensors`` bounds their number, ``pickle`` what describes them, ``total`` their numbers."""

    members: int = 200_000
    tensors: int = 100_000
    pickle: int = 64 << 20
    total: int = 16 << 30
    header: int = 64 << 20
    name: int = 500
