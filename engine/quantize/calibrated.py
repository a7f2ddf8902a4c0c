"""What static quantization and training for it share: a float file, its calibrated scales, and the file of integers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import fx

from engine.context import Context, scratch_file
from engine.model import Model
from engine.quantize.calibrate import calibrate
from engine.quantize.counterparts import counterparts
from engine.quantize.integers import integers_of
from engine.quantize.placing import Placing, Scale, place, rounded_tensors, scales_of
from engine.quantize.processor import needs_reduced_range
from engine.quantize.rounding import LearnedRounding, RoundedGraph, rounded_graph
from engine.quantize.source import quantized, write_float
from engine.randomness import generator
from engine.session import Arrays, cast
from pith.calibration import CalibrationOptions

_BATCH = 32
_OPERATORS = {"Conv", "Gemm", "MatMul"}
_ATTENTION = {"Softmax", "Attention"}
_COMPARED = 2


@dataclass(frozen=True)
class Samples:
    """Calibration data: a random part of the training split, the same each time."""

    model: Model
    config: CalibrationOptions
    ctx: Context

    def __call__(self) -> Iterator[Arrays]:
        """Small batches of it."""
        split = self.ctx.training_data(labels=False)
        dtypes = [spec.numpy_dtype for spec in self.model.signature.inputs]
        rows = self._rows()
        for start in range(0, len(rows), _BATCH):
            yield cast(split.x, rows[start : start + _BATCH], dtypes)

    def together(self, most: int) -> Arrays:
        """The first of them as one batch."""
        dtypes = [spec.numpy_dtype for spec in self.model.signature.inputs]
        return cast(self.ctx.training_data(labels=False).x, self._rows()[:most], dtypes)

    def _rows(self) -> np.ndarray:
        order = torch.randperm(
            len(self.ctx.training_data(labels=False)), generator=generator(self.ctx.spec.seed, self.ctx.step)
        )
        return np.sort(order[: self.config.calibration_samples].numpy())


@dataclass(frozen=True)
class Calibrated:
    """``names`` are the activations that the file rounds with a scale of their own, ``after`` the nodes of the graph
    that compute them."""

    source: Path
    placing: Placing
    samples: Samples
    names: tuple[str, ...]
    scales: Mapping[str, Scale]
    after: Mapping[str, fx.Node]

    def again(self, model: Model, known: Mapping[str, Scale]) -> dict[str, Scale]:
        """Scales for the weights that the model has now, but for those that are known."""
        write_float(model, self.source, self.samples.ctx)
        rest = [name for name in self.names if name not in known]
        return {**_calibrate(self.source, rest, self.samples), **known}


def calibrated(model: Model, config: CalibrationOptions, ctx: Context) -> Calibrated:
    """Fold the model's norms, write it, and find the scales of its activations.

    Raises:
        PithError: ``technique_inapplicable`` without a layer to quantize.
    """
    source, samples = scratch_file(ctx.folder, "static-float.onnx"), Samples(model, config, ctx)
    proto = write_float(model, source, ctx)
    present = {node.op_type for node in proto.graph.node}
    if not present & _OPERATORS:
        raise ctx.inapplicable("the model has no convolution and no linear layer", "leave this step out")
    reduced = needs_reduced_range() if config.reduce_range == "auto" else config.reduce_range == "on"
    placing = Placing(config.granularity == "channel", reduced, bool(present & _ATTENTION))
    if placing.inputs_only:
        ctx.note("The model has attention: only the inputs of its layers are rounded; compare quantize.dynamic.")
    names = tuple(dict.fromkeys(source for _, source in rounded_tensors(place(source, placing, {}))))
    scales = _calibrate(source, names, samples)
    after = counterparts(model.graph, source, names, samples.together(_COMPARED)) if model.trainable else {}
    return Calibrated(source, placing, samples, names, scales, after)


def with_roundings(model: Model, given: Calibrated, learn: bool) -> RoundedGraph:
    """The model's graph with the file's roundings in it. Behind a Clip, which rounding replaces, no scale learns."""
    clipped = {node.output[0] for node in onnx.load(given.source).graph.node if node.op_type == "Clip"}
    roundings = {name: LearnedRounding(given.scales[name], learn and name not in clipped) for name in given.after}
    layers = integers_of(model.graph, place(given.source, given.placing, given.scales))
    steps = 64 if given.placing.reduced else 127
    return rounded_graph(model.graph, given.after, roundings, layers, given.placing.per_channel, steps)


def finish(model: Model, given: Calibrated, scales: Mapping[str, Scale], ctx: Context) -> Model:
    """The model as integers, from the file of floats that was written last."""
    target = scratch_file(ctx.folder, "static.onnx")
    placed = place(given.source, given.placing, scales)
    onnx.save(placed, target)
    result, count, total = quantized(model, target, given.after, scales_of(placed))
    if count < total:
        ctx.note(f"{count} of {total} layers hold integers; the others stay in floating point.")
    return result


def _calibrate(source: Path, names: tuple[str, ...] | list[str], samples: Samples) -> dict[str, Scale]:
    config = samples.config
    return calibrate(source, names, samples, config.calibration, config.percentile)
