"""From a model to the floating-point ONNX file that a quantizer takes, and back from what it wrote."""

from collections.abc import Mapping
from pathlib import Path

import onnx
import onnxruntime
from onnx import version_converter
from torch import fx

from engine.context import Context
from engine.export import write_onnx
from engine.fusion import fold_norms
from engine.model import Model
from engine.onnx_model.weights import integer_layers, layers
from engine.quantize.integers import replace_layers
from engine.quantize.placing import Scale
from engine.quantize.rounding import Rounding, insert

# Scales for each channel exist from this opset on.
_OPSET = 13


def write_float(model: Model, path: Path, ctx: Context) -> onnx.ModelProto:
    """Write the model with its batch norms folded into the layers before them."""
    if model.trainable:
        fold_norms(model.graph)
        write_onnx(model, path)
    else:
        assert model.finished is not None
        _fold(model.finished, path)
        _raise_opset(path, ctx)
    proto = onnx.load(path)
    # Shape annotations, the exporter's own too, contradict the quantizers' shape inference on some transformers.
    del proto.graph.value_info[:]
    onnx.save(proto, path)
    return proto


def quantized(
    model: Model, target: Path, after: Mapping[str, fx.Node] | None = None, scales: Mapping[str, Scale] | None = None
) -> tuple[Model, int, int]:
    """The quantized model, how many of its layers hold integers, and how many there are.

    Where the file rounds activations, ``after`` says which nodes of the graph they are, and ``scales`` how.
    """
    proto = onnx.load(target)
    if not model.trainable:
        count, total = integer_layers(proto.graph), len(list(layers(proto.graph)))
        return Model(None, model.signature, finished=target), count, total
    total = len(list(model.layers()))
    count = replace_layers(model.graph, proto)
    if after and scales:
        insert(model.graph, after, {name: Rounding(scales[name]) for name in after})
    return Model(model.graph, model.signature, finished=target), count, total


def _fold(source: Path, target: Path) -> None:
    """By the runtime's own basic rewrites, which keep to standard operators and change no value."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def _raise_opset(path: Path, ctx: Context) -> None:
    proto = onnx.load(path)
    opset = next(one.version for one in proto.opset_import if one.domain in ("", "ai.onnx"))
    if opset >= _OPSET:
        return
    try:
        proto = version_converter.convert_version(proto, _OPSET)
    except Exception as error:  # its errors have no common kind
        raise ctx.inapplicable(
            f"the file is of opset {opset}, and its operators have no counterpart in opset {_OPSET}",
            f"export it with opset_version={_OPSET} or later",
        ) from error
    onnx.save(proto, path)
