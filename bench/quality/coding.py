"""Entropy coding of the same integers: those of ``encode.entropy``, order-0 entropy, xz and DeepCABAC.

``python -m bench.quality.coding MODELS [LENET.npz …]``: MODELS is the folder of the CIFAR-10 ResNets of
akamaster/pytorch_resnet_cifar10, quantized here to symmetric integers with one step a layer; an .npz holds sparse
float weights by name, whose -0 becomes 0 as in the step. Ours is the whole file with its tables, decoded again and
compared; the others are bytes of the integers alone, xz of all layers in one stretch. zstd has a column where it is
installed.
"""

import lzma
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from engine.encode.packing import pack
from pith.packed.container import unpack
from pith.packed.wire import Tensor

# Bytes for these networks' integers, without biases, by the C++ coder of NNCodec 2.1.3 (ISO/IEC 15938-17).
DEEPCABAC = {
    ("resnet20", 8): 214_076,
    ("resnet20", 6): 144_931,
    ("resnet20", 4): 75_114,
    ("resnet56", 8): 647_798,
    ("resnet56", 6): 426_764,
    ("resnet56", 4): 210_133,
}
_INT8, _FLOAT32 = 3, 1
_EMPTY_GRAPH = b"\x3a\x00"


class Row(NamedTuple):
    """Bytes; ``zstd`` and ``deepcabac`` are None where there is no figure."""

    name: str
    weights: int
    ours: int
    entropy: int
    xz: int
    zstd: int | None
    deepcabac: int | None
    seconds: tuple[float, float]


def main(arguments: list[str]) -> None:
    rows = [row for argument in arguments for row in _rows(Path(argument))]
    print("| integers | weights | ours | order-0 entropy | xz -9e | zstd -19 | DeepCABAC | encode s | decode s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        known = [row.ours, row.entropy, row.xz, row.zstd, row.deepcabac]
        sizes = " | ".join("" if size is None else f"{size:,}" for size in known)
        print(f"| {row.name} | {row.weights:,} | {sizes} | {row.seconds[0]:.1f} | {row.seconds[1]:.1f} |")


def _rows(path: Path) -> list[Row]:
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            sparse = [arrays[name] + np.float32(0) for name in arrays if arrays[name].ndim > 1]
        places = [np.unique(array, return_inverse=True)[1].astype(np.int64) for array in sparse]
        return [measured(path.stem, _tensors(sparse, _FLOAT32), places, None)]
    found = []
    for name in ("resnet20", "resnet56"):
        (file,) = path.glob(f"{name}-*.th")
        for bits in (8, 6, 4):
            layers = quantized(file, bits)
            tensors = _tensors([layer.astype(np.int8) for layer in layers], _INT8)
            found.append(measured(f"{name} {bits} bits", tensors, layers, DEEPCABAC[name, bits]))
    return found


def quantized(file: Path, bits: int) -> list[NDArray[np.int64]]:
    """The integers of every convolution and linear layer; the largest weight of each becomes the largest integer."""
    state = torch.load(file, weights_only=True, map_location="cpu")["state_dict"]
    layers = [state[name].numpy().astype(np.float64) for name in state if re.search(r"(conv\d|linear)\.weight$", name)]
    return [np.rint(layer / (np.abs(layer).max() / (2 ** (bits - 1) - 1))).astype(np.int64) for layer in layers]


def measured(name: str, tensors: list[Tensor], integers: list[NDArray[np.int64]], deepcabac: int | None) -> Row:
    started = time.perf_counter()
    packed = pack(_EMPTY_GRAPH, tensors)
    between = time.perf_counter()
    assert unpack(packed.data).model == packed.model
    seconds = between - started, time.perf_counter() - between
    flat = b"".join(array.astype(np.int8).tobytes() for array in integers)
    entropy = sum(_entropy(array) for array in integers)
    weights = sum(array.size for array in integers)
    xz = len(lzma.compress(flat, preset=9 | lzma.PRESET_EXTREME))
    return Row(name, weights, len(packed.data), round(entropy), xz, _zstd(flat), deepcabac, seconds)


def _tensors(arrays: list[NDArray[np.generic]], kind: int) -> list[Tensor]:
    return [Tensor(str(index), kind, array.shape, array.tobytes()) for index, array in enumerate(arrays)]


def _entropy(array: NDArray[np.int64]) -> float:
    """Bytes of a layer's integers, each coded with the chance that it has there."""
    counts = np.unique(array, return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum() / 8)


def _zstd(data: bytes) -> int | None:
    if shutil.which("zstd") is None:
        return None
    return len(subprocess.run(["zstd", "-19", "-c"], input=data, capture_output=True, check=True).stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
