"""Which channels have to go so that a part of something else goes: MACs, parameters or latency."""

from collections.abc import Callable, Sequence, Set

import numpy as np

from engine.context import Context, scratch_file
from engine.export import write_onnx
from engine.latency import latencies
from engine.measure import macs_of
from engine.model import Model
from engine.prune.channels import Channels
from engine.prune.portions import Portion
from pith.portions import fewest, tightened
from pith.techniques.prune.channel import NEAR

Cost = Callable[[Model], float]


def cost_of(target: str, ctx: Context) -> Cost:
    """``macs`` of one sample, ``parameters``, or ``latency`` as a part of the uploaded model's, measured beside it."""
    if target == "macs":
        return macs_of
    if target == "parameters":
        return lambda model: float(sum(each.numel() for each in model.graph.parameters()))
    return lambda model: ctx.group.told(_latency(model, ctx) if ctx.group.leads else 0.0)


def least_gone(
    target: str, goal: float, cost: Cost, model: Model, ignore: Set[str], order: Sequence[Portion]
) -> set[int] | None:
    """The units without which a copy costs no more than ``goal``, and not much less; None if all are too few.

    They are the first of ``order``. A latency is never twice the same, so it is not brought as near as it goes.
    """

    def left(gone: Sequence[Portion]) -> float:
        trial = model.copy()
        Channels(trial, ignore).remove(_units(gone))
        return cost(trial)

    gone = fewest(order, left, goal)
    if gone is None:
        return None
    return _units(gone if target == "latency" else tightened(gone, left, goal, NEAR))


def _units(portions: Sequence[Portion]) -> set[int]:
    return {unit for portion in portions for unit in portion.units}


def _latency(model: Model, ctx: Context) -> float:
    ours, baseline = scratch_file(ctx.folder, "trial.onnx"), scratch_file(ctx.folder, "uploaded.onnx")
    write_onnx(model, ours)
    if not baseline.exists():
        write_onnx(ctx.baseline.copy(), baseline)
    sample = tuple(each.numpy() for each in model.signature.tensors(1))
    mine, theirs = latencies([ours, baseline], sample, seconds=1.0)
    return float(np.median(mine) / np.median(theirs))
