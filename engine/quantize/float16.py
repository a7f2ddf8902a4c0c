"""Weights stored as float16 and computed with in float32, or the whole file in float16; see ``halves``."""

import onnx
import torch
from onnxruntime.transformers.float16 import convert_float_to_float16

from engine.context import Context
from engine.model import Model, first_line
from engine.quantize.halves import halved
from engine.quantize.lowbit.chosen import folded
from engine.quantize.lowbit.store import Trial, trial
from engine.quantize.source import write_float
from engine.quiet import quiet
from pith.techniques.quantize.float16 import QuantizeFloat16


def apply(model: Model, config: QuantizeFloat16, ctx: Context) -> Model:
    before = trial(model, ctx)
    if config.arithmetic == "float32":
        return halved(model, torch.float16, ctx)
    return _all_halves(halved(model.copy(), torch.float16, ctx), folded(model, ctx), before, ctx)


def _all_halves(result: Model, model: Model, before: Trial, ctx: Context) -> Model:
    """The file of ``result`` made anew of the float one, every operator in float16 that has it."""
    assert result.finished is not None
    proto = write_float(model, result.finished, ctx)
    try:
        with quiet():
            converted = convert_float_to_float16(proto, keep_io_types=True, disable_shape_infer=False)
        onnx.save(converted, result.finished)
        left = before.left(result.finished)
    except Exception as error:  # the converter's and the runtime's errors have no common kind
        reason = f"ONNX Runtime cannot run it in float16 ({first_line(error)})"
        raise ctx.inapplicable(reason, 'use "arithmetic": "float32"') from error
    ctx.note(f"Computed in float16, the outputs keep {left:.1f} dB of signal over noise.")
    return result
