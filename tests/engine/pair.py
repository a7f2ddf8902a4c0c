"""``python -m tests.engine.pair FOLDER PROCESSES``: applies the first step of the job in that folder, in so many
processes, and leaves the model's weights. ``trouble.json`` beside the job makes things go wrong, once."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine import run
from engine.group import form
from engine.jobdir import JobDir
from engine.registry import technique
from engine.together import together
from engine.train import _Training


def part(root: Path, rank: int, size: int) -> int:
    bring(root / "trouble.json", rank)
    folder = JobDir(root)
    group = form(rank, size, folder.meeting)
    if rank:
        run.follow(root, group)
        return 0
    ctx = run.open_job(folder, folder.read(), group)
    model = run._begun(ctx)
    ctx.begin(0)
    model = technique(ctx.config.kind)(model, ctx.config, ctx)  # type: ignore[attr-defined]
    ctx.events.close()
    torch.save(model.graph.state_dict(), root / "weights.pt")
    (root / "said.json").write_text(json.dumps({"pieces": ctx.pieces, "notes": ctx.notes}))
    return 0


def bring(trouble: Path, rank: int) -> None:
    """``{"rank": …, "at": [epoch, batch], "what": "die" or "run out"}``."""
    asked = json.loads(trouble.read_text()) if trouble.exists() else {"rank": None}
    own = _Training._own_gradients
    left = [1]

    def disturbed(self: _Training, epoch: int, whole: Any) -> Tensor | None:
        if asked["rank"] == rank and [epoch, whole.batch] == asked["at"] and left.pop():
            left.append(0)
            if asked["what"] == "run out":
                return None
            trouble.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return own(self, epoch, whole)

    _Training._own_gradients = disturbed  # type: ignore[method-assign]


if __name__ == "__main__":
    root, size = Path(sys.argv[1]), int(sys.argv[2])
    JobDir(root).scratch.mkdir(parents=True, exist_ok=True)
    JobDir(root).meeting.unlink(missing_ok=True)
    sys.exit(together(size, lambda rank: part(root, rank, size)))
