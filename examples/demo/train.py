"""Makes the demo's input: the textbook CNN trained on scikit-learn's digits, as model.pt2, and the data as dataset.npz.

Run it as ``python examples/demo/train.py FOLDER``. This is the caller's side: Pith never sees this code.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

EPOCHS, BATCH, TEST_SAMPLES = 6, 64, 500


def network() -> nn.Module:
    """Two convolutions with pooling, two linear layers: 8.5 million weights for inputs of 1 × 32 × 32."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(8192, 1024), nn.ReLU(), nn.Linear(1024, 10),
    )  # fmt: skip


def digits() -> dict[str, np.ndarray]:
    """1,797 handwritten digits, from 8 × 8 to 32 × 32, values 0 to 1; the last 500 of a shuffle are the test split."""
    data = load_digits()
    small = torch.tensor(data.images / 16, dtype=torch.float32)[:, None]
    x = functional.interpolate(small, size=(32, 32), mode="bilinear").numpy()
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:-TEST_SAMPLES], order[-TEST_SAMPLES:]
    y = data.target.astype(np.int64)
    return {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}


def train(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for epoch in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            loss = functional.cross_entropy(net(x[rows].to(memory_format=torch.channels_last)), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"training the baseline: epoch {epoch + 1} of {EPOCHS}, loss {loss.item():.4f}", flush=True)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    data = digits()
    net = network().to(memory_format=torch.channels_last)
    train(net, torch.from_numpy(data["x_train"]), torch.from_numpy(data["y_train"]))
    net = net.to(memory_format=torch.contiguous_format).eval()
    example = torch.from_numpy(data["x_test"][:2])
    # These two lines are all that a model needs to be uploaded.
    program = torch.export.export(net, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, folder / "model.pt2")
    np.savez(folder / "dataset.npz", **data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
