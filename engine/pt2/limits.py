"""Bounds on an untrusted ``.pt2``."""

from typing import NamedTuple


class Limits(NamedTuple):
    """Sizes in bytes. ``depth`` bounds how deep JSON nests, ``nodes`` how many operators a program has."""

    members: int = 20_000
    total: int = 16 << 30
    json: int = 64 << 20
    depth: int = 64
    nodes: int = 200_000
