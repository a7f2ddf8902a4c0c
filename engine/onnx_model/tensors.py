"""Weights inside an ONNX file: their sizes against their bytes, and data that lies in files beside it."""

import math
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from engine.onnx_model.limits import OnnxLimits
from engine.onnx_model.operators import graphs_of, nodes_of
from engine.onnx_model.refusals import malformed, shown, too_large, unsafe, unsupported

_T = TensorProto
# Bits of one number, and the field that holds it where raw_data does not.
KINDS: dict[int, tuple[int, str]] = {
    _T.FLOAT: (32, "float_data"),
    _T.DOUBLE: (64, "double_data"),
    _T.FLOAT16: (16, "int32_data"),
    _T.BFLOAT16: (16, "int32_data"),
    _T.INT4: (4, "int32_data"),
    _T.UINT4: (4, "int32_data"),
    _T.INT8: (8, "int32_data"),
    _T.UINT8: (8, "int32_data"),
    _T.INT16: (16, "int32_data"),
    _T.UINT16: (16, "int32_data"),
    _T.INT32: (32, "int32_data"),
    _T.INT64: (64, "int64_data"),
    _T.UINT32: (32, "uint64_data"),
    _T.UINT64: (64, "uint64_data"),
    _T.BOOL: (8, "int32_data"),
}
_DATA = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
_FLOATS = frozenset({_T.FLOAT, _T.DOUBLE, _T.FLOAT16})
_PLAIN = re.compile(r"[^/\\:\x00-\x1f\x7f]{1,255}")
_BESIDE = "send a zip or tar with model.onnx and its data files beside it, or export with external_data=False"


def tensors(proto: ModelProto) -> Iterator[TensorProto]:
    """Every tensor of the file: initializers and attributes, subgraphs and functions too."""
    for graph in graphs_of(proto.graph):
        yield from _of_graph(graph)
    for function in proto.functions:
        for node in nodes_of(function.node):
            yield from of_node(node)
            for attribute in node.attribute:
                for inner in (attribute.g, *attribute.graphs):
                    yield from inner.initializer


def of_node(node: NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR:
            yield attribute.t
        yield from attribute.tensors


def _of_graph(graph: GraphProto) -> Iterator[TensorProto]:
    if graph.sparse_initializer:
        unsupported("sparse initializers", "export dense weights")
    yield from graph.initializer
    for node in graph.node:
        yield from of_node(node)


def settle(proto: ModelProto, beside: Path | None, limits: OnnxLimits) -> None:
    """Bring every tensor's data into the file, and refuse a tensor whose data is not what its shape says.

    ``beside`` is the folder whose files the upload brought; None for a file that came alone.

    Raises:
        PithError: ``model_unsupported``, ``model_unsafe``, ``model_malformed`` or ``model_too_large``.
    """
    total = 0
    for tensor in tensors(proto):
        size = _bytes_of(tensor, limits)
        total += size
        if total > limits.total:
            too_large("The weights' size in bytes", total, limits.total)
        if tensor.data_location == TensorProto.EXTERNAL:
            _bring(tensor, size, beside)
        _check_extent(tensor, size)
        _check_numbers(tensor)


def _bytes_of(tensor: TensorProto, limits: OnnxLimits) -> int:
    """How many bytes the shape asks for."""
    if tensor.data_type == TensorProto.STRING:
        unsupported(f"the text tensor {shown(tensor.name)}", "take numbers as inputs, and keep the tokenizer outside")
    if tensor.data_type not in KINDS:
        unsupported(f"numbers of the kind {tensor.data_type} in {shown(tensor.name)}", "export float32 weights")
    if len(tensor.dims) > limits.rank or any(size < 0 for size in tensor.dims):
        malformed(f"the tensor {shown(tensor.name)}", f"its shape is {list(tensor.dims)[:8]}")
    if tensor.HasField("segment"):
        malformed(f"the tensor {shown(tensor.name)}", "it is a segment of another one")
    return math.ceil(math.prod(tensor.dims) * KINDS[tensor.data_type][0] / 8) if 0 not in tensor.dims else 0


def _bring(tensor: TensorProto, size: int, beside: Path | None) -> None:
    told = {entry.key: entry.value for entry in tensor.external_data}
    location = told.get("location", "")
    if not _PLAIN.fullmatch(location) or location in (".", ".."):
        unsafe(f"weights at {shown(location)}, outside of the upload", _BESIDE)
    if beside is None:
        unsupported(f"weights in another file, {shown(location)}", _BESIDE)
    path = beside / location
    try:
        status = path.lstat()
    except OSError:
        unsupported(f"weights in the file {shown(location)}, which the upload does not have", _BESIDE)
    if not stat.S_ISREG(status.st_mode):
        unsafe(f"weights at {shown(location)}, which is no plain file", _BESIDE)
    offset = _count(told.get("offset", "0"), location)
    length = _count(told.get("length", str(size)), location)
    if length != size or offset + length > status.st_size:
        malformed(
            f"the tensor {shown(tensor.name)}",
            f"it takes {size} bytes, and bytes {offset} to {offset + length} of {shown(location)} "
            f"({status.st_size} bytes) are named",
        )
    with path.open("rb") as file:
        file.seek(offset)
        tensor.raw_data = file.read(length)
    del tensor.external_data[:]
    tensor.ClearField("data_location")


def _count(text: str, location: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        malformed(f"the place of weights in {shown(location)}", f"{shown(text)} is no number")
    return int(text)


def _check_extent(tensor: TensorProto, size: int) -> None:
    used = [name for name in _DATA if (tensor.HasField(name) if name == "raw_data" else len(getattr(tensor, name)))]
    bits, field = KINDS[tensor.data_type]
    if used == ["raw_data"] or (not used and not size):
        found, wanted, what = len(tensor.raw_data), size, "bytes"
    elif used == [field]:
        wanted = size if bits == 4 else size * 8 // bits
        found, what = len(getattr(tensor, field)), "numbers"
    else:
        malformed(f"the tensor {shown(tensor.name)}", f"its numbers lie in {', '.join(used) or 'no field'}")
    if found != wanted:
        where = f"the tensor {shown(tensor.name)}"
        malformed(where, f"its shape {list(tensor.dims)} takes {wanted} {what}, and it has {found}")


def _check_numbers(tensor: TensorProto) -> None:
    """NaN is nobody's weight; infinities are what masks are made of."""
    if tensor.data_type in _FLOATS and np.isnan(numpy_helper.to_array(tensor)).any():
        unsupported(f"weights that are not finite ({shown(tensor.name)})", "export a model that has not diverged")
