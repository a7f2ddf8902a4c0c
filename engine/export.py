"""Writing a model: ONNX, .pt2 and safetensors, each one file that needs nobody's source code."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import torch
from safetensors.torch import save_file

from engine.model import Model, first_line
from engine.quiet import quiet
from pith.artifact import OutputFormat
from pith.errors import PithError

INPUT, OUTPUT = "input", "output"
ONNX_LIMIT_BYTES = 2_000_000_000


def write_onnx(model: Model, path: Path) -> None:
    """One file, weights inside; the input is called ``input``, the output ``output``, the first dimension ``batch``.

    Raises:
        PithError: ``model_too_large`` over the 2 GB of a protocol buffer; ``export_failed``.
    """
    if model.finished is not None:
        shutil.copyfile(model.finished, path)
        return
    weights = sum(tensor.nbytes for tensor in model.graph.state_dict().values())
    if weights > ONNX_LIMIT_BYTES:
        raise PithError("model_too_large", what="the weights' size in bytes", value=weights, limit=ONNX_LIMIT_BYTES)
    proto = _translated(model)
    _name_batch(proto)
    _forget_where(proto)
    onnx.save(proto, path)


def write_pt2(model: Model, path: Path) -> None:
    """A ``torch.export`` archive with a dynamic batch; it may be the model of another job."""
    torch.export.save(model.program(), path)


def write_safetensors(model: Model, path: Path) -> None:
    """The weights under their dotted names, and the input's shape as metadata."""
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in model.graph.state_dict().items()}
    shape = json.dumps([size if size is not None else "batch" for size in model.signature.shape])
    save_file(tensors, path, metadata={"format": "pt", "input_shape": shape})


WRITERS: dict[OutputFormat, Callable[[Model, Path], None]] = {
    "onnx": write_onnx,
    "pt2": write_pt2,
    "safetensors": write_safetensors,
}


def _translated(model: Model) -> onnx.ModelProto:
    program = model.program()
    try:
        with quiet():
            translated = torch.onnx.export(
                program,
                (model.signature.tensor(),),
                dynamo=True,
                input_names=[INPUT],
                output_names=[OUTPUT],
                verbose=False,
                optimize=True,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        raise PithError("export_failed", format="ONNX", reason=first_line(error.__cause__ or error)) from error
    assert translated is not None
    return translated.model_proto


def _forget_where(proto: onnx.ModelProto) -> None:
    """The exporter leaves stack traces in every node: paths and source lines of this machine."""
    for part in (proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""


def _name_batch(proto: onnx.ModelProto) -> None:
    """The exporter calls the batch after the symbol that torch gave it; call it what it is."""
    symbol = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if symbol and dim.dim_param == symbol:
                dim.dim_param = "batch"
