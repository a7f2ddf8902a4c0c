"""An untrusted ONNX file becomes one canonical file and what is known about it, in a child that may crash."""

import mmap
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import ModelProto

from engine.onnx_model.canonical import canonical
from engine.onnx_model.child import in_child
from engine.onnx_model.facts import dtype_of, facts_of
from engine.onnx_model.limits import OnnxLimits
from engine.onnx_model.operators import check_header, check_operators, standard
from engine.onnx_model.ports import check_outputs, inputs_of
from engine.onnx_model.probe import probe
from engine.onnx_model.refusals import malformed, said, too_large
from engine.onnx_model.tensors import settle
from engine.onnx_model.wire import scan
from engine.signature import Signature, TensorSpec
from pith.base import Frozen
from pith.errors import PithError
from pith.facts import ModelFacts


@dataclass(frozen=True)
class FinishedGraph:
    """The canonical file, what goes in and out of it, and what was learnt."""

    path: Path
    signature: Signature
    facts: ModelFacts


class Learnt(Frozen):
    """What the child says: ``examples`` are the sizes of inputs and then outputs for two samples."""

    facts: ModelFacts
    examples: tuple[tuple[int, ...], ...]


def read_onnx(
    source: Path, target: Path, beside: Path | None = None, limits: OnnxLimits = OnnxLimits()
) -> FinishedGraph:
    """Check the file ``source`` and write its canonical form to ``target``.

    ``beside`` is the folder whose plain files may hold its weights: that of an unpacked archive, None for a file that
    came alone. The work is done in a forked child, because the libraries that parse and run ONNX can crash; its time
    and memory are bounded, which also bounds loops and giant intermediate values.

    Raises:
        PithError: any ``model_…`` code.
    """
    size = source.stat().st_size
    if size > limits.total:
        too_large("The file's size in bytes", size, limits.total)
    if not size:
        malformed("its first byte", "there is none; the file is empty")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="onnx-") as folder:
        written = Path(folder) / "model.onnx"
        data = size if beside is None else sum(path.lstat().st_size for path in beside.iterdir())
        learnt = Learnt.model_validate_json(
            in_child(lambda: _learnt(source, written, beside, limits).model_dump_json(), Path(folder), data, limits)
        )
        written.replace(target)
    return FinishedGraph(target, _signature(learnt), learnt.facts)


def _learnt(source: Path, target: Path, beside: Path | None, limits: OnnxLimits) -> Learnt:
    proto = _parsed(source, limits)
    opset = standard(proto.opset_import)
    settle(proto, beside, limits)
    proto = canonical(proto)
    check_operators(proto, limits)
    inputs = inputs_of(proto, limits)
    check_outputs(proto)
    kind = dtype_of(proto)
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        malformed("its graph", said(error))
    probed = probe(proto, inputs, target)
    return Learnt(facts=facts_of(proto, inputs, probed, opset, kind), examples=probed.examples)


def _parsed(source: Path, limits: OnnxLimits) -> ModelProto:
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        scan(data, limits)
        try:
            proto: ModelProto = ModelProto.FromString(data[:])
        except DecodeError as error:
            raise PithError("model_malformed", where="its protocol buffer", reason=said(error)) from error
    proto.DiscardUnknownFields()
    check_header(proto)
    check_operators(proto, limits)
    return proto


def _signature(learnt: Learnt) -> Signature:
    facts, examples = learnt.facts, list(learnt.examples)
    specs: Mapping[int, TensorSpec] = {
        index: TensorSpec(tensor.name, tensor.shape, size, getattr(torch, tensor.dtype))
        for index, (tensor, size) in enumerate(zip((*facts.inputs, *facts.outputs), examples, strict=True))
    }
    count = len(facts.inputs)
    return Signature(
        tuple(specs[index] for index in range(count)), tuple(specs[index] for index in range(count, len(specs)))
    )
