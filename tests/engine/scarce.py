"""``python -m tests.engine.scarce FOLDER BYTES``: trains a model twice, the second time with no more than so much
memory besides what the process has then, and leaves both weights and what was noted."""

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
    root, more = Path(sys.argv[1]), int(sys.argv[2])
    ctx = begin(root)
    torch.save(fit(ctx), root / "whole.pt")
    limit(more)
    weights = fit(ctx)
    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    torch.save(weights, root / "weights.pt")
    (root / "said.json").write_text(json.dumps({"pieces": ctx.pieces, "notes": ctx.notes}))
