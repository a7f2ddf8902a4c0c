"""Static 8-bit quantization (Jacob et al. 2018, arXiv 1712.05877), as QDQ that ONNX Runtime computes in integers.

Before it, ranges of weights are equalized across layers, and after it biases are corrected (Nagel et al. 2019, arXiv
1906.04721). Shapes of the float graph stay; its batch norms are folded first.
"""

import torch

from engine.context import Context
from engine.fusion import fold_norms
from engine.model import Model
from engine.quantize.bias import correct_biases
from engine.quantize.calibrated import Calibrated, calibrated, finish, with_roundings
from engine.quantize.equalize import equalize
from pith.techniques.quantize.static import QuantizeStatic

_CORRECTED_ON = 64


def apply(model: Model, config: QuantizeStatic, ctx: Context) -> Model:
    if model.trainable and config.equalize:
        fold_norms(model.graph)
        equalize(model.graph)
    given = calibrated(model, config, ctx)
    if model.trainable and config.bias_correction:
        _correct(model, given)
        scales = given.again(model, given.scales)
    else:
        scales = dict(given.scales)
    if not model.trainable and (config.equalize or config.bias_correction):
        ctx.note("An ONNX model has no layers to equalize or to correct; calibration alone was done.")
    return finish(model, given, scales, ctx)


def _correct(model: Model, given: Calibrated) -> None:
    rounded = with_roundings(model, given, learn=False)
    inputs = tuple(map(torch.from_numpy, given.samples.together(_CORRECTED_ON)))
    correct_biases(model.graph, rounded.forward, inputs)
