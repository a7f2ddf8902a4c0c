"""A state dict of 1 GB, checked and put into its module, against reading the same file."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from engine.architectures import build
from engine.weights import fit, read_tensors

_WIDTH, _LAYERS = 8192, 3
_CHUNK = 1 << 22


def measure() -> dict[str, float]:
    """Seconds, each with the file out of the page cache first, and the file's size in bytes."""
    torch.set_num_threads(1)
    arguments = {"in_features": _WIDTH, "out_features": _WIDTH, "hidden": [_WIDTH] * _LAYERS}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pt"
        torch.save(build("pith/mlp", arguments).module.state_dict(), path)
        read = _timed(path, _read)
        checked = _timed(path, read_tensors)
        start = time.perf_counter()
        built = build("pith/mlp", arguments)
        fit(built.module, read_tensors(path).tensors, built.name)
        whole = time.perf_counter() - start
        return {"read": read, "checked": checked, "whole": whole, "bytes": float(path.stat().st_size)}


def _timed(path: Path, work: Callable[[Path], object]) -> float:
    _forget(path)
    start = time.perf_counter()
    work(path)
    return time.perf_counter() - start


def _read(path: Path) -> None:
    with path.open("rb") as file:
        while file.read(_CHUNK):
            pass


def _forget(path: Path) -> None:
    """Written to the disk and out of the page cache, so that the next reader reads."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
