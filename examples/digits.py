"""Makes what the examples upload: small networks trained on scikit-learn's digits, and the digits.

``python examples/digits.py FOLDER`` writes ``model.pt2`` and ``dataset.npz`` for most of them, ``second.pt2`` and
``third.pt2`` (the same start, trained further with other seeds and rates) for merging, and ``low.pt2`` (a network that
knows the digits 0 to 4) with ``high.npz`` (the digits 5 to 9) for another task. This is the caller's side: Pith never
sees this code.
"""

import copy
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

TEST_SAMPLES = 500
Arrays = tuple[torch.Tensor, torch.Tensor]


def network(classes: int) -> nn.Module:
    """Three convolutions and two linear layers: some 100,000 weights for inputs of 1 × 16 × 16."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, classes),
    )  # fmt: skip


def digits() -> tuple[Arrays, Arrays]:
    """1,797 handwritten digits of 16 × 16, values 0 to 1; the last 500 of a shuffle are the test split."""
    data = load_digits()
    small = torch.tensor(data.images / 16, dtype=torch.float32)[:, None]
    x, y = functional.interpolate(small, size=(16, 16), mode="bilinear"), torch.tensor(data.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, test = order[:-TEST_SAMPLES], order[-TEST_SAMPLES:]
    return (x[train], y[train]), (x[test], y[test])


def trained(net: nn.Module, data: Arrays, epochs: int, rate: float, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate)
    net.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(data[0])).split(32):
            loss = functional.cross_entropy(net(data[0][rows]), data[1][rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.eval()


def write_model(path: Path, net: nn.Module) -> None:
    batch = torch.export.Dim("batch")
    torch.export.save(torch.export.export(net, (torch.zeros(2, 1, 16, 16),), dynamic_shapes=({0: batch},)), path)


def write_data(path: Path, train: Arrays, test: Arrays) -> None:
    named = {"x_train": train[0], "y_train": train[1], "x_test": test[0], "y_test": test[1]}
    np.savez(path, **{name: array.numpy() for name, array in named.items()})


def of(data: Arrays, low: int, high: int) -> Arrays:
    """The digits from low to high, numbered from 0."""
    rows = (data[1] >= low) & (data[1] <= high)
    return data[0][rows], data[1][rows] - low


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # so small a network gains little by more, and loses much where cores are busy
    train, test = digits()
    torch.manual_seed(0)
    net = trained(network(10), train, epochs=4, rate=2e-3, seed=0)
    for number, name in enumerate(("model", "second", "third")):
        write_model(folder / f"{name}.pt2", trained(copy.deepcopy(net), train, 3, 1e-3 * 2**number, seed=number + 1))
    write_data(folder / "dataset.npz", train, test)
    write_model(folder / "low.pt2", trained(network(5), of(train, 0, 4), epochs=5, rate=2e-3, seed=0))
    write_data(folder / "high.npz", of(train, 5, 9), of(test, 5, 9))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
