"""Weights rounded to the nearest of a few levels (2 to 8 bits), stored packed; see ``engine.quantize.lowbit``.

Activations and biases stay in floating point, and so does the arithmetic.
"""

from engine.context import Context
from engine.model import Model
from engine.quantize.lowbit.chosen import Chosen, chosen, folded
from engine.quantize.lowbit.layer import LowBitWeight
from engine.quantize.lowbit.store import check_left, store, trial
from pith.techniques.quantize.weight_only import QuantizeWeightOnly


def apply(model: Model, config: QuantizeWeightOnly, ctx: Context) -> Model:
    model = folded(model, ctx)
    weights, before = chosen(model, config, ctx), trial(model, ctx)
    found = {}
    for index, each in enumerate(weights):
        ctx.progress(index / len(weights), f"levels of {each.name}")
        found[each.name] = nearest(each, config.bits, config.group_size)
    result = store(model, weights, found, ctx)
    check_left(before, result, found, weights, ctx)
    return result


def nearest(weight: Chosen, bits: int, group_size: int | None) -> LowBitWeight:
    grid = weight.grid(bits, group_size)
    return LowBitWeight(grid, grid.nearest(weight.weight))
