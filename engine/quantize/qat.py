"""Quantization-aware training: Jacob et al. 2018, arXiv 1712.05877, with scales that learn (LSQ, arXiv 1902.08153).

The graph is trained while it rounds where the file of integers will: weights, and the outputs of layers and sums. The
float weights that come of it are then rounded for good, with the scales that were learned.
"""

from torch import nn

from engine.context import Context
from engine.model import Model
from engine.quantize.calibrated import calibrated, finish, with_roundings
from engine.train import Aids, train
from pith.techniques.quantize.qat import QuantizeQat


def apply(model: Model, config: QuantizeQat, ctx: Context) -> Model:
    given = calibrated(model, config, ctx)
    rounded = with_roundings(model, given, learn=True)
    forward = Model(rounded.forward, model.signature).place(ctx.device)
    aids = Aids(forward=forward, helpers=nn.ModuleList(rounded.roundings.values()))
    train(model, ctx.training_data(labels=True), config, ctx.objective(config.label_smoothing).loss, ctx, aids)
    return finish(model, given, given.again(model, rounded.scales()), ctx)
