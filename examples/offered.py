"""Makes what the service offers to who has nothing to upload yet: ``python examples/offered.py app/example``.

A small network trained on scikit-learn's digits, as ``model.pt2``, and the digits, as ``dataset.npz``.
"""

import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from digits import digits, trained
from torch import nn

LEVELS = 16
"""Shades of grey: as many as the digits had before they were enlarged, which keeps the file small."""


def network() -> nn.Module:
    """Three convolutions and two linear layers: some 100,000 weights for inputs of 1 × 16 × 16."""
    features = [*_block(1, 1, 16), *_block(2, 16, 32), ("pool2", nn.MaxPool2d(2)), *_block(3, 32, 32)]
    features += [("pool3", nn.MaxPool2d(2)), ("flatten", nn.Flatten())]
    classifier = [("hidden", nn.Linear(512, 128)), ("relu", nn.ReLU()), ("output", nn.Linear(128, 10))]
    parts = (("features", features), ("classifier", classifier))
    return nn.Sequential(OrderedDict((name, nn.Sequential(OrderedDict(layers))) for name, layers in parts))


def _block(number: int, inputs: int, outputs: int) -> list[tuple[str, nn.Module]]:
    return [
        (f"conv{number}", nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)),
        (f"norm{number}", nn.BatchNorm2d(outputs)),
        (f"relu{number}", nn.ReLU()),
    ]


def write_model(path: Path, net: nn.Module) -> None:
    program = torch.export.export(net, (torch.zeros(2, 1, 16, 16),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names folders of the machine that made it
    torch.export.save(program, path)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    named = {}
    for split, (x, y) in zip(("train", "test"), digits(), strict=True):
        named |= {f"x_{split}": torch.round(x * LEVELS) / LEVELS, f"y_{split}": y}
    torch.manual_seed(0)
    write_model(folder / "model.pt2", trained(network(), (named["x_train"], named["y_train"]), 7, 2e-3, seed=0))
    np.savez_compressed(folder / "dataset.npz", **{name: array.numpy() for name, array in named.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
