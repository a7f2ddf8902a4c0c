"""Static 8-bit quantization by ONNX Runtime (Jacob et al. 2018, arXiv 1712.05877), as QDQ.

Activations are unsigned, weights signed and of 7 bits on processors without VNNI: what was measured to be fast and
accurate on x86. Shapes and values of the float graph stay; its batch norms are folded first.
"""

from collections.abc import Iterator

import numpy as np
import torch
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from engine.context import Context, scratch_file
from engine.model import Model
from engine.quantize.processor import needs_reduced_range
from engine.quantize.source import quantized, write_float
from engine.quiet import quiet
from engine.randomness import generator
from engine.session import cast
from pith.techniques.quantize.static import QuantizeStatic

_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
_OPERATORS = {"Conv", "Gemm", "MatMul"}


def apply(model: Model, config: QuantizeStatic, ctx: Context) -> Model:
    source, target = scratch_file(ctx.folder, "static-float.onnx"), scratch_file(ctx.folder, "static.onnx")
    proto = write_float(model, source, ctx)
    present = {node.op_type for node in proto.graph.node}
    if not present & _OPERATORS:
        raise ctx.inapplicable("the model has no convolution and no linear layer", "leave this step out")
    if "Softmax" in present or "Attention" in present:
        ctx.note("The model has attention, which loses much in static quantization; compare quantize.dynamic.")
    reduced = needs_reduced_range() if config.reduce_range == "auto" else config.reduce_range == "on"
    with quiet():
        quantize_static(
            source,
            target,
            Samples(model, [value.name for value in proto.graph.input], config, ctx),
            quant_format=QuantFormat.QDQ,
            per_channel=config.granularity == "channel",
            reduce_range=reduced,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=_METHODS[config.calibration],
        )
    result, count, total = quantized(model, target)
    if count < total:
        ctx.note(f"{count} of {total} layers hold integers; the others stay in floating point.")
    return result


class Samples(CalibrationDataReader):  # type: ignore[misc]
    """Calibration data: a random part of the training split, one small batch at a time."""

    def __init__(self, model: Model, names: list[str], config: QuantizeStatic, ctx: Context) -> None:
        self.split = ctx.training_data(labels=False)
        self.names = names
        self.dtypes = [spec.numpy_dtype for spec in model.signature.inputs]
        order = torch.randperm(len(self.split), generator=generator(ctx.spec.seed, ctx.step))
        self.rows = np.sort(order[: config.calibration_samples].numpy())
        self.batches = self._batches()

    def _batches(self) -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, len(self.rows), 32):
            yield dict(zip(self.names, cast(self.split.x, self.rows[start : start + 32], self.dtypes), strict=True))

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)

    def __len__(self) -> int:
        return -(-len(self.rows) // 32)
