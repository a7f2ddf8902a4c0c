"""Dynamic 8-bit quantization of linear layers by ONNX Runtime (DynamicQuantizeLinear, MatMulInteger).

Tables of embeddings are stored as integers too, with one scale each, and read row by row. Convolutions stay in floating
point: dynamic ones were measured to run five to ten times slower.
"""

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from engine.context import Context, scratch_file
from engine.model import Model
from engine.quantize.integers import replace_tables
from engine.quantize.processor import needs_reduced_range
from engine.quantize.source import quantized, write_float
from engine.quiet import quiet
from pith.techniques.quantize.dynamic import QuantizeDynamic

_OPERATORS = ["MatMul", "Gemm"]
_TABLES = ["Gather"]


def apply(model: Model, config: QuantizeDynamic, ctx: Context) -> Model:
    source, target = scratch_file(ctx.folder, "dynamic-float.onnx"), scratch_file(ctx.folder, "dynamic.onnx")
    proto = write_float(model, source, ctx)
    if not any(node.op_type in _OPERATORS for node in proto.graph.node):
        raise ctx.inapplicable("the model has no linear layer", "use quantize.static, which takes convolutions too")
    with quiet():
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=_OPERATORS + _TABLES,
            per_channel=config.granularity == "channel",
            reduce_range=needs_reduced_range(),
            weight_type=QuantType.QInt8,
        )
    if model.trainable:
        replace_tables(model.graph, onnx.load(target))
    result, count, total = quantized(model, target)
    if count < total:
        ctx.note(f"{count} of {total} layers hold integers; convolutions stay as they are, quantize.static takes them.")
    return result
