"""Which part of the channels has to go so that a part of something else goes: MACs, parameters or latency."""

from collections.abc import Callable, Set

import numpy as np

from engine.context import Context, scratch_file
from engine.export import write_onnx
from engine.measure import latencies, macs_of
from engine.model import Model
from engine.prune.channels import Channels

Cost = Callable[[Model], float]
TRIALS = {"macs": 12, "parameters": 12, "latency": 6}


def cost_of(target: str, ctx: Context) -> Cost:
    """``macs`` of one sample, ``parameters``, or ``latency`` as a part of the uploaded model's, measured beside it."""
    if target == "macs":
        return macs_of
    if target == "parameters":
        return lambda model: float(sum(each.numel() for each in model.graph.parameters()))
    return lambda model: _latency(model, ctx)


def ratio_for(
    goal: float, cost: Cost, model: Model, ignore: Set[str], units_at: Callable[[float], set[int]], trials: int
) -> float | None:
    """The least ratio in (0, 1) of which a pruned copy costs no more than ``goal``, by halving; None if there is none.

    ``units_at(ratio)`` are the units that would go.
    """

    def reached(ratio: float) -> bool:
        trial = model.copy()
        Channels(trial, ignore).remove(units_at(ratio))
        return cost(trial) <= goal

    low, high = 0.0, 1.0
    if not reached(high):
        return None
    for _ in range(trials):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _latency(model: Model, ctx: Context) -> float:
    ours, baseline = scratch_file(ctx.folder, "trial.onnx"), scratch_file(ctx.folder, "uploaded.onnx")
    write_onnx(model, ours)
    if not baseline.exists():
        write_onnx(ctx.baseline.copy(), baseline)
    sample = tuple(each.numpy() for each in model.signature.tensors(1))
    mine, theirs = latencies([ours, baseline], sample, seconds=1.0)
    return float(np.median(mine) / np.median(theirs))
