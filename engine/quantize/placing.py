"""Where a file rounds to 8 bits, decided by ONNX Runtime's quantizer, with scales that are given to it.

Activations are unsigned, weights signed and symmetric: what x86 multiplies fast.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType, TensorsData
from onnxruntime.quantization.calibrate import TensorData

from engine.quiet import quiet

# What ONNX Runtime computes in integers on a CPU, or only moves; rounding around anything else costs and gains nothing.
OPERATORS = (
    *("Conv", "Gemm", "MatMul", "Add", "Mul", "AveragePool", "GlobalAveragePool", "MaxPool", "Concat"),
    *("Relu", "Clip", "LeakyRelu", "Sigmoid", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"),
    *("Slice", "Split", "Pad", "Gather", "Resize", "Where"),
)
_LAYERS = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class Scale:
    """``real = (integer - zero_point) * scale``, the integer being 0 to 255."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class Placing:
    """What to round and how, the same for every call on one file.

    ``inputs_only``: nothing but the inputs of layers, so that sums, norms and attention stay in floating point.
    """

    per_channel: bool
    reduced: bool
    inputs_only: bool = False

    def operators(self) -> list[str]:
        return list(_LAYERS if self.inputs_only else OPERATORS)

    def options(self) -> dict[str, object]:
        if not self.inputs_only:
            return {}
        return {"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]}


def place(source: Path, placing: Placing, scales: Mapping[str, Scale]) -> onnx.ModelProto:
    """The file with QuantizeLinear and DequantizeLinear in it; a tensor without a scale gets an arbitrary one."""
    with quiet():
        proto = _named(onnx.shape_inference.infer_shapes(onnx.load(source)))
        given = {name: [_override(scale)] for name, scale in scales.items()}
        quantizer = QDQQuantizer(
            proto,
            placing.per_channel,
            placing.reduced,
            QuantType.QInt8,
            QuantType.QUInt8,
            _ranges(proto),
            None,
            [] if not placing.inputs_only else _between_activations(proto),
            placing.operators(),
            {"TensorQuantOverrides": given, **placing.options()},
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
        placed: onnx.ModelProto = quantizer.model.model
    del placed.graph.value_info[:]
    return placed


def rounded_tensors(placed: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """Every activation that the file rounds, and the one whose scale it has: itself, or the one it is a view of."""
    for node in placed.graph.node:
        if node.op_type == "QuantizeLinear":
            yield node.output[0].removesuffix("_QuantizeLinear_Output"), node.input[1].removesuffix("_scale")


def scales_of(placed: onnx.ModelProto) -> dict[str, Scale]:
    """The scale of every activation that the file rounds."""
    arrays = {tensor.name: tensor for tensor in placed.graph.initializer}
    return {
        name: Scale(
            float(numpy_helper.to_array(arrays[f"{source}_scale"])),
            int(numpy_helper.to_array(arrays[f"{source}_zero_point"])),
        )
        for name, source in rounded_tensors(placed)
    }


def _named(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Every node with a name, by which the quantizer is told what to leave out."""
    for index, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    return proto


def _between_activations(proto: onnx.ModelProto) -> list[str]:
    """Products of two activations, which attention is made of."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    return [node.name for node in proto.graph.node if node.op_type == "MatMul" and node.input[1] not in constants]


def _ranges(proto: onnx.ModelProto) -> TensorsData:
    """Something for every tensor, because the quantizer asks; real scales override it."""
    one = np.float32(1.0)
    names = {name for node in proto.graph.node for name in (*node.input, *node.output) if name}
    return TensorsData(CalibrationMethod.MinMax, {name: TensorData(lowest=-one, highest=one) for name in names})


def _override(scale: Scale) -> dict[str, object]:
    return {"scale": np.array(scale.scale, np.float32), "zero_point": np.array(scale.zero_point, np.uint8)}
