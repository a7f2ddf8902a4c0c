"""Weights stored as bfloat16, computed with in float32; see ``halves``."""

import torch

from engine.context import Context
from engine.model import Model
from engine.quantize.halves import halved
from pith.techniques.quantize.bfloat16 import QuantizeBfloat16


def apply(model: Model, config: QuantizeBfloat16, ctx: Context) -> Model:
    return halved(model, torch.bfloat16, ctx)
