"""``python -m tests.engine.scarce FOLDER``: trains a model, and then again with less and less memory until it runs out,
and leaves the weights of the first and the last time and what was noted."""

import json
import resource
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.context import Context
from engine.objective import cross_entropy
from engine.train import train
from pith.training import TrainingOptions
from tests.engine.conformance import opened
from tests.engine.tiny import job_folder

HIDDEN = 1 << 16
BATCH = 64
MOST, LESS = 100_000_000, 4_000_000
"""What there is at first besides what the process has then, and how much less each time."""


class Wide(nn.Module):
    """Small itself, and large between its layers. Nothing in it is random, or sees other samples."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.act, self.down = nn.Linear(64, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 4)

    def forward(self, x: Tensor) -> Tensor:
        wide: Tensor = self.down(self.act(self.up(x.flatten(1))))
        return wide


def begin(root: Path) -> Context:
    torch.set_num_threads(1)
    return opened(job_folder(root, [{"kind": "finetune.full"}], net=Wide))


def fit(ctx: Context) -> dict[str, Tensor]:
    model = ctx.baseline.copy()
    options = TrainingOptions(epochs=2, batch_size=BATCH, learning_rate=0.01, optimizer="sgd")
    train(model, ctx.training_data(labels=True), options, cross_entropy(), ctx)
    return model.graph.state_dict()


def limit(more: int) -> None:
    """Of data alone: code that is loaded meanwhile does not count."""
    (size,) = (line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmData" in line)
    resource.setrlimit(resource.RLIMIT_DATA, (int(size) * 1024 + more, resource.RLIM_INFINITY))


if __name__ == "__main__":
    root = Path(sys.argv[1])
    ctx = begin(root)
    torch.save(fit(ctx), root / "whole.pt")
    for more in range(MOST, 0, -LESS):
        limit(more)
        weights = fit(ctx)
        resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if ctx.pieces > 1:
            break
    torch.save(weights, root / "weights.pt")
    (root / "said.json").write_text(json.dumps({"pieces": ctx.pieces, "notes": ctx.notes}))
