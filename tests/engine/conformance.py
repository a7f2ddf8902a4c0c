"""What every technique must satisfy, found by its kind in the contract, on whatever model it is given."""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.context import Context
from engine.jobdir import JobDir
from engine.lift import lift
from engine.measure import sqnr_db
from engine.model import Model
from engine.registry import technique
from engine.run import open_job
from engine.session import open_session, run_session
from pith.recipe import step_classes
from tests.engine.tiny import inputs_of, job_folder

# The least that makes a technique do something on these models; a kind without an entry runs with its defaults.
OPTIONS: dict[str, dict[str, Any]] = {
    "prune.channel": {"round_to": 4, "iterations": 2, "recovery": {"epochs": 1}},
    "prune.magnitude": {"iterations": 2, "recovery": {"epochs": 1}},
}


def opened(folder: JobDir) -> Context:
    """The context of a job, as ``engine.run`` would have it before its first step."""
    folder.scratch.mkdir(parents=True, exist_ok=True)
    ctx = open_job(folder, folder.read())
    ctx.begin(0)
    return ctx


def applied(kind: str, root: Path, net: type[nn.Module], **options: Any) -> tuple[Model, Model]:
    """The model before and after this one step."""
    folder = job_folder(root, [{"kind": kind, **OPTIONS.get(kind, {}), **options}], net=net)
    ctx = opened(folder)
    after = technique(kind)(ctx.baseline.copy(), ctx.config, ctx)
    ctx.events.close()
    return ctx.baseline, after


def check(kind: str, root: Path, net: type[nn.Module]) -> None:
    """Same seed, same weights; the declared change and no other; no NaN; exports, lifts again, computes the same."""
    before, after = applied(kind, root / "once", net)
    _, again = applied(kind, root / "again", net)
    _check_same(after, again)
    _check_change(kind, before, after)
    x = inputs_of(net)
    with torch.no_grad():
        given = after.run(x)
    for mine, theirs in zip(given, before.run(x), strict=True):
        assert mine.shape == theirs.shape and len(mine) == len(x[0]) and mine.isfinite().all()
    assert not after.graph.training
    reloaded = Model(*lift(copy.deepcopy(after).program()))
    assert reloaded.signature == after.signature
    assert all(torch.equal(again, mine) for again, mine in zip(reloaded.run(x), given, strict=True))
    if after.finished is not None:
        _check_finished(after.finished, x, given)


def _check_same(one: Model, other: Model) -> None:
    first, second = one.graph.state_dict(), other.graph.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def _check_change(kind: str, before: Model, after: Model) -> None:
    old, new = before.graph.state_dict(), after.graph.state_dict()
    shared = [(old[name], new[name]) for name in old.keys() & new.keys()]
    changed = set()
    if any(one.shape != other.shape for one, other in shared):
        changed.add("shapes")
    if any(one.dtype != other.dtype for one, other in shared):
        changed.add("dtype")
    if not changed and any(not torch.equal(one, other) for one, other in shared):
        changed.add("values")
    declared = step_classes()[kind].changes
    assert changed and changed <= declared, f"{kind} declares {set(declared)} and changed {changed}"
    assert ("dtype" in declared) == (after.finished is not None)


def _check_finished(onnx: Path, x: tuple[Tensor, ...], given: tuple[Tensor, ...]) -> None:
    """The graph of a quantized model, rounding included, computes what its ONNX file does."""
    there = run_session(open_session(onnx, 1), tuple(each.numpy() for each in x))
    assert len(there) == len(given)
    for theirs, mine in zip(there, given, strict=True):
        assert sqnr_db(theirs, mine.numpy()) > 25
