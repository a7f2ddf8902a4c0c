"""Bits for each layer, by what rounding it alone does to the outputs, and the best choice within a budget.

ZeroQ (Cai et al. 2020, arXiv 2001.00281, section 3.2) takes errors of single layers to add up; so does this, with the
squared error of the outputs relative to their own size. The choice is a knapsack, solved exactly as long
as sizes come in no more than 200,000 steps, else to a step of that size.
"""

from collections.abc import Mapping, Sequence
from math import gcd

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.context import Context
from engine.model import Model
from engine.quantize.lowbit.chosen import Chosen, chosen, folded
from engine.quantize.lowbit.learning import Learning
from engine.quantize.lowbit.store import check_left, store, trial
from engine.quantize.lowbit.walk import calibration
from engine.quantize.weight_only import nearest
from pith.techniques.quantize.mixed import QuantizeMixed

_UNITS = 200_000


def apply(model: Model, config: QuantizeMixed, ctx: Context) -> Model:
    model = folded(model, ctx)
    weights, before = chosen(model, config, ctx), trial(model, ctx)
    bits = _chosen_bits(model, weights, config, ctx)
    if config.rounding == "learned":
        found = Learning(model, weights, bits, config, ctx).run(calibration(model, config.calibration_samples, ctx))
    else:
        found = {each.name: nearest(each, bits[each.name], config.group_size) for each in weights}
    result = store(model, weights, found, ctx)
    check_left(before, result, found, weights, ctx)
    return result


def _chosen_bits(model: Model, weights: list[Chosen], config: QuantizeMixed, ctx: Context) -> dict[str, int]:
    """From a checkpoint where there is one."""
    if "bits" not in ctx.memo:
        errors = sensitivity(model, weights, config, ctx)
        sizes = [each.weight.numel() for each in weights]
        picked = allocate(errors, sizes, config.bits, int(config.average_bits * sum(sizes)))
        ctx.memo["bits"] = {each.name: bits for each, bits in zip(weights, picked, strict=True)}
    bits: dict[str, int] = ctx.memo["bits"]
    stored = sum(bits[each.name] * each.weight.numel() for each in weights) / sum(e.weight.numel() for e in weights)
    ctx.note(f"{stored:.2f} bits a weight on average: {_said(bits)}.")
    return bits


def sensitivity(model: Model, weights: list[Chosen], config: QuantizeMixed, ctx: Context) -> NDArray[np.float64]:
    """(layers, choices): the squared error of the outputs, as a part of their size, with one layer rounded."""
    inputs = calibration(model, config.sensitivity_samples, ctx)
    errors = np.zeros((len(weights), len(config.bits)))
    with torch.no_grad():
        wanted = model.run(inputs)
        for row, each in enumerate(weights):
            layer = model.graph.get_submodule(each.name)
            for column, bits in enumerate(config.bits):
                ctx.progress(row / len(weights) / 2, f"{each.name} with {bits} bits")
                layer.weight.data = nearest(each, bits, config.group_size).real()
                errors[row, column] = _noise(wanted, model.run(inputs))
            layer.weight.data = each.weight
    return errors


def _noise(wanted: Sequence[Tensor], given: Sequence[Tensor]) -> float:
    pairs = zip(wanted, given, strict=True)
    return sum(float((a - b).double().square().sum() / a.double().square().sum().clamp(min=1e-30)) for a, b in pairs)


def allocate(errors: NDArray[np.float64], sizes: Sequence[int], choices: Sequence[int], budget: int) -> tuple[int, ...]:
    """One of ``choices`` for every layer, with the least sum of errors and at most ``budget`` bits in all."""
    fewest = min(choices)
    extra = [[(bits - fewest) * size for bits in choices] for size in sizes]
    spare = budget - fewest * sum(sizes)
    unit = max(gcd(*(cost for row in extra for cost in row)), -(-spare // _UNITS), 1)
    costs = [[-(-cost // unit) for cost in row] for row in extra]  # rounded up, so that the budget holds
    picks = _best(errors, costs, spare // unit)
    same = [[column] * len(sizes) for column, bits in enumerate(choices) if bits * sum(sizes) <= budget]
    rows = range(len(sizes))
    found = min([picks, *same], key=lambda columns: float(errors[rows, columns].sum()))
    return tuple(choices[column] for column in found)


def _best(errors: NDArray[np.float64], costs: Sequence[Sequence[int]], units: int) -> list[int]:
    """The column of every row, by dynamic programming over what is left of the budget."""
    least = np.zeros(units + 1)
    picks = np.zeros((len(costs), units + 1), np.int8)
    for row, row_costs in enumerate(costs):
        found = np.full(units + 1, np.inf)
        for column, cost in enumerate(row_costs):
            if cost <= units:
                tried = least[: units + 1 - cost] + errors[row, column]
                better = tried < found[cost:]
                picks[row, cost:][better], found[cost:][better] = column, tried[better]
        least = found
    columns, left = [], units
    for row in reversed(range(len(costs))):
        columns.append(int(picks[row, left]))
        left -= costs[row][columns[-1]]
    return columns[::-1]


def _said(bits: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in bits.items())
