"""Writing a model: ONNX, .pt2 and safetensors, each one file that needs nobody's source code."""

import hashlib
import json
import re
import shutil
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors.torch import save_file
from torch import fx

from engine.model import Model, first_line
from engine.quiet import quiet
from engine.signature import Signature, TensorSpec
from pith.artifact import OutputFormat
from pith.errors import PithError

_INTEGERS = frozenset({onnx.TensorProto.INT32, onnx.TensorProto.INT64})
_ROOT = "L__self__"
_ROOTS = re.compile(f"^(?:{_ROOT})+")
_SYMBOL = re.compile(r"[A-Za-z_]\w*")
ONNX_LIMIT_BYTES = 2_000_000_000


def write_onnx(model: Model, path: Path) -> None:
    """One file, weights inside. The only input is called ``input``, several keep their names, outputs have the
    signature's. The first dimension is called ``batch``, the free one of tokens ``length``, others ``dim_2``, ….

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
    _name_sizes(proto)
    _name_weights(proto, model)
    _forget_where(proto)
    onnx.save(proto, path)


def write_pt2(model: Model, path: Path) -> None:
    """A ``torch.export`` archive with a dynamic batch; it may be the model of another job. The same model gives the
    same bytes."""
    program = model.program()
    for graph in program.graph_module.modules():
        for node in graph.graph.nodes if isinstance(graph, fx.GraphModule) else ():
            _forget_when(node)
    torch.export.save(program, path)


def write_safetensors(model: Model, path: Path) -> None:
    """The weights under their dotted names, and the shape of every input and output by name as metadata."""
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in model.graph.state_dict().items()}
    ends = {"inputs": _shapes(model.signature.inputs), "outputs": _shapes(model.signature.outputs)}
    save_file(tensors, path, metadata={"format": "pt", **ends})
    _sort_metadata(path)


def input_names(signature: Signature) -> list[str]:
    """The inputs as the ONNX file calls them."""
    return ["input"] if len(signature.inputs) == 1 else [spec.name for spec in signature.inputs]


WRITERS: dict[OutputFormat, Callable[[Model, Path], None]] = {
    "onnx": write_onnx,
    "pt2": write_pt2,
    "safetensors": write_safetensors,
}


def _shapes(specs: Iterable[TensorSpec]) -> str:
    """JSON: sizes by name, null where any size goes, the first being the batch."""
    return json.dumps({spec.name: ["batch", *spec.shape[1:]] for spec in specs})


def _translated(model: Model) -> onnx.ModelProto:
    program = model.program()
    try:
        with quiet():
            translated = torch.onnx.export(
                program,
                model.signature.tensors(),
                dynamo=True,
                input_names=input_names(model.signature),
                output_names=[spec.name for spec in model.signature.outputs],
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


def _forget_when(node: fx.Node) -> None:
    """Each export adds to what a node says of its origin: addresses in memory, paths and source lines of this machine,
    and one more root for the module stack."""
    for said in ("from_node", "stack_trace"):
        node.meta.pop(said, None)
    if stack := node.meta.get("nn_module_stack"):
        node.meta["nn_module_stack"] = {_ROOTS.sub(_ROOT, key): entry for key, entry in stack.items()}


def _sort_metadata(path: Path) -> None:
    """safetensors writes metadata in an order that differs from process to process; the header keeps its length."""
    with path.open("r+b") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) <= size:
            file.seek(8)
            file.write(text.ljust(size))


def _name_sizes(proto: onnx.ModelProto) -> None:
    """The exporter calls free sizes after the symbols that torch gave them; call them what they are."""
    names = _size_names(proto)
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = _SYMBOL.sub(lambda found: names.get(found[0], found[0]), dim.dim_param)


def _name_weights(proto: onnx.ModelProto, model: Model) -> None:
    """The exporter stores the weights of some linear layers transposed, and numbers them; they keep their names."""
    parameters = dict(model.graph.named_parameters())
    kept = parameters.keys() & {tensor.name for tensor in proto.graph.initializer}
    lost: dict[bytes, list[str]] = {}
    for name, weight in parameters.items():
        if weight.ndim == 2 and name not in kept:
            lost.setdefault(_digest(weight.detach().T.contiguous().numpy()), []).append(name)
    names: dict[str, str] = {}
    for tensor in proto.graph.initializer if lost else ():
        matrix = tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2 and tensor.name not in kept
        if matrix and (found := lost.get(_digest(numpy_helper.to_array(tensor)))):
            names[tensor.name] = found.pop(0)
            tensor.name = names[tensor.name]
    for node in proto.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)


def _digest(matrix: NDArray[np.generic]) -> bytes:
    return hashlib.sha256(repr(matrix.shape).encode() + matrix.tobytes()).digest()


def _size_names(proto: onnx.ModelProto) -> dict[str, str]:
    """A name for every symbol of the inputs; one size that two inputs share has one name."""
    names: dict[str, str] = {}
    for value in proto.graph.input:
        tokens = value.type.tensor_type.elem_type in _INTEGERS
        for index, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_param and dim.dim_param not in names:
                name = "batch" if index == 0 else "length" if tokens and index == 1 else f"dim_{index}"
                names[dim.dim_param] = f"{value.name}_{name}" if name in names.values() and index else name
    return names
