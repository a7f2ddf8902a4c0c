"""What every technique must satisfy, found by its kind in the contract, on whatever model it is given."""

import contextlib
import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.checkpoint import Checkpoints
from engine.context import Context
from engine.jobdir import JobDir
from engine.lift import lift
from engine.measure import sqnr_db
from engine.model import Model
from engine.registry import technique
from engine.run import open_job
from engine.session import open_session, run_session
from pith.recipe import step_classes
from tests.engine.tiny import TEACHER_ID, Scores, arrays, inputs_of, job_folder, other_dataset, other_model

# The least that makes a technique do something on these models; a kind without an entry runs with its defaults.
OPTIONS: dict[str, dict[str, Any]] = {
    "prune.channel": {"round_to": 4, "iterations": 2, "recovery": {"epochs": 1}},
    "prune.head": {"iterations": 2, "recovery": {"epochs": 1}},
    "prune.layer": {"iterations": 2, "recovery": {"epochs": 1}},
    "prune.magnitude": {"iterations": 2, "recovery": {"epochs": 1}},
    "prune.nm": {"iterations": 2, "recovery": {"epochs": 1}},
    "quantize.codebook": {"bits": 3, "bias_bits": 4, "recovery": {"epochs": 1, "batch_size": 32}},
    "quantize.adaround": {"iterations": 50},
    "quantize.mixed": {"iterations": 50, "bits": (8, 4, 2)},
}
# What a technique's other models are, where they are not of the same network.
OTHERS: dict[str, type[nn.Module]] = {"merge.sequential": Scores}


def least(kind: str) -> dict[str, Any]:
    """The step that stands for its kind."""
    peers = {"peers": [TEACHER_ID]} if "peers" in step_classes()[kind].model_fields else {}
    return {"kind": kind, **peers, **OPTIONS.get(kind, {})}


def opened(folder: JobDir) -> Context:
    """The context of a job, as ``engine.run`` would have it before its first step."""
    folder.scratch.mkdir(parents=True, exist_ok=True)
    ctx = open_job(folder, folder.read())
    ctx.begin(0)
    return ctx


def asked(kind: str, root: Path, net: type[nn.Module], **options: Any) -> JobDir:
    """The job of this one step. What else it names is a model of the same network with other weights."""
    seconds = options.pop("checkpoint_seconds", 60.0)
    step = {**least(kind), **options}
    folder = job_folder(root, [step], net=net, checkpoint_seconds=seconds)
    for number, id in enumerate(folder.read().spec.models()):
        other_model(folder, id, OTHERS.get(kind, net), seed=5 + number)
    for id in folder.read().spec.datasets():
        other_dataset(folder, id, arrays(net))
    return folder


def applied(kind: str, root: Path, net: type[nn.Module], **options: Any) -> tuple[Model, Model]:
    """The model before and after this one step."""
    ctx = opened(asked(kind, root, net, **options))
    with contextlib.closing(ctx.events):
        return ctx.baseline, technique(kind)(ctx.baseline.copy(), ctx.config, ctx)


def check(kind: str, root: Path, net: type[nn.Module], twice: bool) -> None:
    """Same seed, same weights, where it is applied ``twice``; the declared change and no other; no NaN; exports, lifts
    again, computes the same.

    Raises:
        PithError: this network is none for this technique.
    """
    before, after = applied(kind, root / "once", net)
    if twice:
        check_same(after, applied(kind, root / "again", net)[1])
    _check_change(kind, before, after)
    x = inputs_of(net)
    with torch.no_grad():
        given = after.run(x)
    assert all(len(mine) == len(x[0]) and mine.isfinite().all() for mine in given)
    if "outputs" not in step_classes()[kind].changes:
        assert [mine.shape for mine in given] == [theirs.shape for theirs in before.run(x)]
    assert not after.graph.training
    reloaded = Model(*lift(copy.deepcopy(after).program()))
    assert reloaded.signature == after.signature
    assert all(torch.equal(again, mine) for again, mine in zip(reloaded.run(x), given, strict=True))
    if after.finished is not None:
        _check_finished(after.finished, x, given)


class Cut(Exception):
    """Stands for a worker that dies, or a job that is cancelled: both end the process."""


def cut_and_resumed(
    kind: str, root: Path, net: type[nn.Module], monkeypatch: pytest.MonkeyPatch, **options: Any
) -> tuple[Model, int]:
    """The model after this step, which was cut off after its second checkpoint and again after the next one, and how
    often that was; a step that saves fewer is cut off less."""
    folder, save, saved, cuts = asked(kind, root, net, checkpoint_seconds=0, **options), Checkpoints.save, 0, 0

    def stopping(self: Checkpoints, *given: Any, **named: Any) -> None:
        nonlocal saved, cuts
        save(self, *given, **named)
        saved += 1
        if saved in (2, 4):
            cuts += 1
            raise Cut

    monkeypatch.setattr(Checkpoints, "save", stopping)
    while True:
        ctx = opened(folder)
        with contextlib.suppress(Cut), contextlib.closing(ctx.events):
            model = ctx.resume() or ctx.baseline.copy()
            ctx.begin(0)
            return technique(kind)(model, ctx.config, ctx), cuts


def check_same(one: Model, other: Model) -> None:
    """To the bit."""
    first, second = one.graph.state_dict(), other.graph.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def _check_change(kind: str, before: Model, after: Model) -> None:
    old, new = before.graph.state_dict(), after.graph.state_dict()
    shared = [(old[name], new[name]) for name in old.keys() & new.keys()]
    changed = set()
    if any(one.shape != other.shape and one.dtype == other.dtype for one, other in shared):  # bytes have other shapes
        changed.add("shapes")
    if any(one.dtype != other.dtype for one, other in shared):
        changed.add("dtype")
    if old.keys() != new.keys() and "dtype" not in changed:
        changed.add("shapes")
    if not changed and any(not torch.equal(one, other) for one, other in shared):
        changed.add("values")
    if after.packed is not None:
        changed.add("encoding")
    if [spec.shape for spec in before.signature.outputs] != [spec.shape for spec in after.signature.outputs]:
        changed.add("outputs")
    declared = step_classes()[kind].changes
    assert changed and changed <= declared, f"{kind} declares {set(declared)} and changed {changed}"
    assert bool(declared & {"dtype", "encoding"}) == (after.finished is not None)
    assert ("encoding" in declared) == (after.packed is not None)


def _check_finished(onnx: Path, x: tuple[Tensor, ...], given: tuple[Tensor, ...]) -> None:
    """The graph of a quantized model, rounding included, computes what its ONNX file does."""
    there = run_session(open_session(onnx, 1), tuple(each.numpy() for each in x))
    assert len(there) == len(given)
    for theirs, mine in zip(there, given, strict=True):
        assert sqnr_db(theirs, mine.numpy()) > 25
