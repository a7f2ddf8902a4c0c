"""ResNet-20 and ResNet-56 with their published weights, and the lossy copies of CIFAR-10's pictures."""

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from bench.real_data import SHARED
from bench.real_weights import WEIGHTS
from engine.architectures.classics import CifarResNet

Pictures = tuple[NDArray[np.float32], NDArray[np.int64]]
FILES = {20: "resnet20-12fca82f.th", 56: "resnet56-4bfd9763.th"}
MEAN, DEVIATION = np.array((0.485, 0.456, 0.406), np.float32), np.array((0.229, 0.224, 0.225), np.float32)


def network(depth: int) -> nn.Module:
    net = CifarResNet((depth - 2) // 6)
    held = torch.load(WEIGHTS / FILES[depth], map_location="cpu", weights_only=True)["state_dict"]
    net.load_state_dict({name.removeprefix("module."): value for name, value in held.items()})
    return net.eval()


def mixed(split: str, count: int) -> NDArray[np.int64]:
    """So many rows of a split, in a fixed order that mixes classes."""
    with np.load(SHARED / "cifar10_jpeg" / f"{split}_jpeg.npz") as data:
        return np.random.default_rng(0).permutation(len(data["y"]))[:count]


def pictures(split: str, rows: NDArray[np.int64] | None = None) -> Pictures:
    """These rows of a split, or all, normalized as the networks were trained."""
    with np.load(SHARED / "cifar10_jpeg" / f"{split}_jpeg.npz") as data:
        blob, ends, y = data["blob"], data["offsets"], data["y"]
    rows = np.arange(len(y)) if rows is None else rows
    files = (io.BytesIO(blob[ends[row] : ends[row + 1]].tobytes()) for row in rows)
    x = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    scaled = (x.astype(np.float32) / 255 - MEAN) / DEVIATION
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32), y[rows].astype(np.int64)
