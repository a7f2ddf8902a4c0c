"""Learned rounding (AdaRound, Nagel et al. 2020, arXiv 2004.10568); see ``engine.quantize.lowbit.learned``.

Layer after layer, each with the inputs that the rounded ones before it give. Grids are those of quantize.weight_only.
"""

from engine.context import Context
from engine.model import Model
from engine.quantize.lowbit.chosen import chosen, folded
from engine.quantize.lowbit.learning import Learning
from engine.quantize.lowbit.store import check_left, store, trial
from engine.quantize.lowbit.walk import calibration
from pith.techniques.quantize.adaround import QuantizeAdaround


def apply(model: Model, config: QuantizeAdaround, ctx: Context) -> Model:
    model = folded(model, ctx)
    weights, before = chosen(model, config, ctx), trial(model, ctx)
    bits = {each.name: config.bits for each in weights}
    learning = Learning(model, weights, bits, config, ctx)
    found = learning.run(calibration(model, config.calibration_samples, ctx))
    result = store(model, weights, found, ctx)
    check_left(before, result, found, weights, ctx)
    return result
