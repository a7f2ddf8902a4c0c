"""From levels to a finished model: the ONNX file and the graph hold the same integers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import torch
from torch import Tensor

from engine.context import Context, scratch_file
from engine.measure import sqnr_db
from engine.model import Model
from engine.quantize.lowbit.chosen import Chosen
from engine.quantize.lowbit.file import replace_weights
from engine.quantize.lowbit.layer import LowBitWeight, Packable, PackedLayer
from engine.quantize.source import write_float
from engine.session import Arrays, cast, open_session, run_session

_CHECKED = 64
# A model that says nothing has 0 dB.
_LEAST_DB = 1.0


def store(model: Model, weights: list[Chosen], found: Mapping[str, LowBitWeight], ctx: Context) -> Model:
    """Replace these layers of a graph whose norms are folded, or these weights of a file, by what was found."""
    target = scratch_file(ctx.folder, f"lowbit-{ctx.step}.onnx")
    if not model.trainable:
        proto = write_float(model, target, ctx)
        replace_weights(proto, ((each.weight, found[each.name]) for each in weights))
        onnx.save(proto, target)
        return Model(None, model.signature, finished=target)
    packed = _packed(model, found)
    proto = write_float(model, target, ctx)
    replace_weights(proto, ((each.real(), each) for each in found.values()))
    onnx.save(proto, target)
    for name, layer in packed.items():
        model.graph.set_submodule(name, layer)
    return Model(model.graph, model.signature, finished=target)


def rounded(model: Model, weights: Mapping[str, LowBitWeight]) -> Model:
    """The model with these weights in floating point where their levels lie; changed in place."""
    for name, weight in weights.items():
        layer = model.graph.get_submodule(name)
        layer.weight.data = weight.real()
    return model


def _packed(model: Model, weights: Mapping[str, LowBitWeight]) -> dict[str, PackedLayer]:
    rounded(model, weights)
    layers = {}
    for name, weight in weights.items():
        layer = model.graph.get_submodule(name)
        assert isinstance(layer, get_args(Packable))
        layers[name] = PackedLayer(layer, weight)
    return layers


@dataclass(frozen=True)
class Trial:
    """A few samples and what the float model makes of them, to see what is left: of the training split, else noise."""

    inputs: Arrays
    outputs: Arrays

    def left(self, file: Path) -> float:
        """Signal to noise in dB of the output that lost most."""
        return min(map(sqnr_db, self.outputs, run_session(open_session(file, 1), self.inputs)))


def trial(model: Model, ctx: Context) -> Trial:
    dtypes = [spec.numpy_dtype for spec in model.signature.inputs]
    split = ctx.dataset.train if ctx.dataset else None
    if split is None:
        inputs = tuple(each.numpy() for each in model.signature.tensors(_CHECKED))
    else:
        inputs = cast(split.x, np.arange(min(_CHECKED, len(split))), dtypes)
    if model.trainable:
        model.at_rest()
    with torch.no_grad():
        outputs = model.run(tuple(map(torch.from_numpy, inputs)))
    return Trial(inputs, tuple(each.numpy() for each in outputs))


def check_left(
    before: Trial, after: Model, stored: Mapping[str, LowBitWeight], weights: list[Chosen], ctx: Context
) -> None:
    """Refuse a result whose outputs hold hardly more signal than noise; note what is left otherwise.

    Raises:
        PithError: ``technique_inapplicable``.
    """
    assert after.finished is not None
    left = before.left(after.finished)
    if left >= _LEAST_DB:
        ctx.note(f"The outputs keep {left:.1f} dB of signal over noise.")
        return
    worst = min(weights, key=lambda each: weight_db(each.weight, stored[each.name]))
    bits = stored[worst.name].bits
    reason = (
        f"{bits} bits leave hardly more signal than noise in the outputs ({left:.1f} dB); {worst.name} loses most, "
        f"and keeps {weight_db(worst.weight, stored[worst.name]):.1f} dB"
    )
    raise ctx.inapplicable(reason, _way_out(worst, bits))


def weight_db(weight: Tensor, stored: LowBitWeight) -> float:
    """Signal to noise of a layer's weight, in dB."""
    return sqnr_db(weight.numpy(), stored.real().numpy())


def _way_out(worst: Chosen, bits: int) -> str:
    if bits == 8:
        return f'leave the layer out ("ignore": ["{worst.name}"])'
    more = {2: 4, 3: 4}.get(bits, 8)
    return f'use {more} bits, or leave the layer out ("ignore": ["{worst.name}"])'
