"""One step, run through and run in pieces: a checkpoint is written after every batch, and the run stops at some."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.checkpoint import Checkpoints
from engine.jobdir import JobDir
from engine.model import Model
from engine.registry import technique
from engine.run import open_job
from tests.engine.conformance import opened
from tests.engine.tiny import Cnn, job_folder


class _Stopped(Exception):
    pass


def check_resumes(
    root: Path,
    step: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    stops: Collection[int] = (1, 4, 9),
    net: type[nn.Module] = Cnn,
) -> None:
    """The step's model has the same bits as when nothing had stopped it after these many checkpoints, and its epochs
    have the same losses."""
    wanted = _applied(root / "whole", step, net, 3600.0)
    save, count = Checkpoints.save, iter(range(10_000))

    def stopping(self: Checkpoints, *given: Any, **named: Any) -> None:
        save(self, *given, **named)
        if next(count) in stops:
            raise _Stopped

    monkeypatch.setattr(Checkpoints, "save", stopping)
    for _ in stops:
        with pytest.raises(_Stopped):
            _applied(root / "cut", step, net, 0.0)
    found = _applied(root / "cut", step, net, 0.0)
    assert next(count) > max(stops) + 1, "it went on where it had stopped"
    one, other = wanted.graph.state_dict(), found.graph.state_dict()
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert _losses(root / "whole") == _losses(root / "cut")


def _losses(root: Path) -> dict[tuple[int, int], float]:
    """The mean loss of each epoch, by phase and epoch."""
    events = [json.loads(line) for line in JobDir(root).events.read_text().splitlines()]
    found = [event["data"] for event in events if "loss" in event.get("data", {})]
    return {(data["phase"], data["epoch"]): data["loss"] for data in found}


def _applied(root: Path, step: dict[str, Any], net: type[nn.Module], seconds: float) -> Model:
    """From the checkpoint that is there, as ``engine.run`` does it."""
    if root.exists():
        folder = JobDir(root)
        ctx = open_job(folder, folder.read())
        model = ctx.resume()
    else:
        ctx = opened(job_folder(root, [step], net=net, checkpoint_seconds=seconds))
        model = None
    ctx.begin(0)
    try:
        return technique(step["kind"])(model or ctx.baseline.copy(), ctx.config, ctx)
    finally:
        ctx.events.close()
