"""Jobs of one merging step, and models that differ by their seed alone."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.context import Context
from engine.export import write_onnx, write_pt2
from engine.model import Model, read_model
from engine.registry import technique
from engine.session import open_session, run_session
from pith.ids import ModelId
from tests.engine.conformance import opened
from tests.engine.tiny import CLASSES, inputs_of, job_folder, other_model

PEERS: tuple[ModelId, ...] = tuple("mdl_" + digit * 26 for digit in "345")


def context(
    root: Path, kind: str, net: type[nn.Module], *peers: tuple[type[nn.Module], int], **options: Any
) -> Context:
    """A job on the network of seed 0 with this one step; its peers are networks of these seeds."""
    data = {name: options.pop(name) for name in ("data", "schema") if name in options}
    step = {"kind": kind, "peers": list(PEERS[: len(peers)]), **options}
    folder = job_folder(root, [step], net=net, **data)
    for name, (peer, seed) in zip(PEERS, peers, strict=False):
        other_model(folder, name, peer, seed)
    return opened(folder)


def applied(ctx: Context) -> Model:
    """The model after the step."""
    return applied_to(ctx, ctx.baseline.copy())


def applied_to(ctx: Context, model: Model) -> Model:
    """The same, for a model that stands elsewhere by now."""
    try:
        return technique(ctx.config.kind)(model, ctx.config, ctx)  # type: ignore[attr-defined]
    finally:
        ctx.events.close()


def taught(ctx: Context, shift: int = 0, steps: int = 30) -> Model:
    """The baseline after some steps on the training split, its classes moved on by ``shift``."""
    model, split = ctx.baseline.copy(), ctx.training_data(labels=True)
    x, y = torch.from_numpy(split.x[0][:]), (torch.from_numpy(np.asarray(split.y)) + shift) % CLASSES
    optimizer = torch.optim.Adam(model.graph.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model.run((x,))[0], y).backward()
        optimizer.step()
    return model


def put(ctx: Context, name: ModelId, model: Model) -> None:
    """Put a model where that of this name is."""
    write_pt2(model.copy(), ctx.folder.other_input(name, "model.pt2"))


def check_files(model: Model, net: type[nn.Module], folder: Path) -> None:
    """Its .pt2 lifts to the same outputs, to the bit, and its ONNX file to nearly the same; for another batch, too."""
    folder.mkdir(exist_ok=True)
    write_pt2(copy.deepcopy(model), folder / "model.pt2")
    write_onnx(copy.deepcopy(model), folder / "model.onnx")
    again, session = read_model(folder / "model.pt2", folder), open_session(folder / "model.onnx", 1)
    assert again.signature == model.signature
    for count in (1, 7):
        x = tuple(each[:count] for each in inputs_of(net))
        with torch.no_grad():
            given = model.run(x)
            assert all(map(torch.equal, again.run(x), given))
        there = run_session(session, tuple(each.numpy() for each in x))
        for mine, theirs in zip(given, there, strict=True):
            assert torch.allclose(mine, torch.from_numpy(theirs), atol=1e-5)


def said(model: Model, net: type[nn.Module]) -> torch.Tensor:
    """The first output for the test split."""
    with torch.no_grad():
        return model.run(inputs_of(net))[0]
