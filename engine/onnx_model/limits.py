"""Bounds on an untrusted ONNX file."""

from typing import NamedTuple


class OnnxLimits(NamedTuple):
    """Sizes in bytes. ``depth`` bounds how deep messages nest (a subgraph costs three), ``fields`` their number,
    ``packed`` the bytes of packed integers, which grow eightfold in memory. ``memory`` is what a child may add to the
    memory it starts with, besides six times the model; ``seconds`` of processor and of clock bound it too.
    """

    total: int = 2_000_000_000
    fields: int = 4_000_000
    nodes: int = 100_000
    tensors: int = 100_000
    packed: int = 256 << 20
    depth: int = 36
    rank: int = 16
    name: int = 2000
    inputs: int = 256
    memory: int = 8 << 30
    seconds: int = 120
