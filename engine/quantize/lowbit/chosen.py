"""The weights that a step is to store in few bits: of a graph's layers, or of an ONNX file's operators."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor

from engine.context import Context, scratch_file
from engine.fusion import fold_norms
from engine.model import Model
from engine.onnx_model.weights import layers
from engine.quantize.lowbit.grid import Grid, channel_axis, search
from engine.quantize.lowbit.layer import Packable
from engine.quantize.source import write_float
from engine.selected import refuse_unmatched
from pith.lowbit import MATRICES, LowBit, group_way_out
from pith.patterns import named_by

_FROM_ONNX = {"Conv": 0, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}


@dataclass(frozen=True)
class Chosen:
    """A weight in the shape of its layer; ``axis`` counts output channels."""

    name: str
    kind: str
    weight: Tensor
    axis: int

    def grid(self, bits: int, group_size: int | None) -> Grid:
        return search(self.weight, bits, self.axis, group_size if self.kind in MATRICES else None)


def folded(model: Model, ctx: Context) -> Model:
    """The model with its batch norms in the layers before them, which then have what the file will hold."""
    if model.trainable:
        fold_norms(model.at_rest())
        return model
    path = scratch_file(ctx.folder, f"folded-{ctx.step}.onnx")
    write_float(model, path, ctx)
    return replace(model, finished=path)


def chosen(model: Model, config: LowBit, ctx: Context) -> list[Chosen]:
    """The weights of this step, in the order of their names.

    Raises:
        PithError: ``technique_inapplicable`` where there are none, or where groups do not fit.
    """
    found = list(_of_graph(model) if model.trainable else _of_file(onnx.load(model.finished)))
    if not found:
        reason = "the model has no convolution, no linear layer and no embedding"
        raise ctx.inapplicable(reason, "leave this step out")
    ignored = named_by(config.ignore, (each.name for each in found))
    refuse_unmatched(config.ignore, (each.name for each in found), "ignore", ctx)
    kept = [each for each in found if each.name not in ignored]
    if not kept:
        raise ctx.inapplicable("ignore leaves no layer", "ignore fewer layers")
    _check_groups(kept, config, ctx)
    return kept


def _check_groups(kept: list[Chosen], config: LowBit, ctx: Context) -> None:
    size = config.group_size
    if size is None:
        return
    matrices = [each for each in kept if each.kind in MATRICES]
    if not matrices:
        way_out = "leave group_size out; a convolution has a scale for each output channel"
        raise ctx.inapplicable("the model has no linear layer and no embedding", way_out)
    for each in matrices:
        inputs = each.weight.shape[1]
        if inputs % size:
            reason = f"{each.name} has {inputs} inputs, which do not divide into groups of {size}"
            raise ctx.inapplicable(reason, group_way_out(each.name, inputs, size))


def _of_graph(model: Model) -> Iterator[Chosen]:
    for name, module in model.graph.named_modules():
        if isinstance(module, get_args(Packable)):
            yield Chosen(name, type(module).__name__, module.weight.detach(), channel_axis(module))


def _of_file(proto: onnx.ModelProto) -> Iterator[Chosen]:
    """A matrix comes as a linear layer has it, one row for each output."""
    seen = set()
    for layer in layers(proto.graph):
        operator, tensor = layer.node.op_type, layer.weight
        if operator in _FROM_ONNX and tensor.data_type == TensorProto.FLOAT and tensor.name not in seen:
            seen.add(tensor.name)
            weight, axis = torch.from_numpy(np.array(numpy_helper.to_array(tensor))), _FROM_ONNX[operator]
            if layer.kind == "Linear" and weight.ndim == 2:
                rows = operator == "Gemm" and any(each.name == "transB" and each.i for each in layer.node.attribute)
                weight, axis = weight if rows else weight.T.contiguous(), 0
            yield Chosen(layer.name, layer.kind, weight, axis)
    arrays = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        tables = arrays.get(node.input[0]) if node.op_type == "Gather" else None
        if tables is None or len(tables.dims) != 2 or tables.data_type != TensorProto.FLOAT or tables.name in seen:
            continue
        seen.add(tables.name)
        array = torch.from_numpy(np.array(numpy_helper.to_array(tables)))
        yield Chosen(tables.name.removesuffix(".weight"), "Embedding", array, 0)
