"""Weights stored in 16-bit floating point and computed with in float32: half the file, and the speed that it had.

In the ONNX file each is followed by a Cast whose input is constant, so ONNX Runtime casts once, when it loads the file.
Weights are parameters of two dimensions and more; biases and norms stay as they are.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, fx, nn
from torch.func import functional_call

from engine.context import Context, scratch_file
from engine.model import Model
from engine.quantize.lowbit.chosen import folded
from engine.quantize.source import write_float
from pith.halves import LEAST

_ONNX = {torch.float16: TensorProto.FLOAT16, torch.bfloat16: TensorProto.BFLOAT16}


class HalfLayer(nn.Module):
    """A layer whose weights are kept in 16 bits; the rest of it is unchanged."""

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.names = [name for name, _ in layer.named_parameters()]
        for name, tensor in layer.named_parameters():
            kept = tensor.detach().to(dtype) if _is_weight(tensor) else tensor.detach().clone()
            self.register_buffer(name, kept)
        self._layer = (layer.requires_grad_(False),)  # not a submodule: its float weights are not part of the model

    def stored_weights(self) -> list[Tensor]:
        """What counts as parameters."""
        return [getattr(self, name) for name in self.names]

    def forward(self, *inputs: Any) -> Any:
        (layer,) = self._layer
        tensors = {name: getattr(self, name).float() for name in self.names}
        if isinstance(layer, nn.RNNBase):
            layer._flat_weights = [tensors[name] for name in layer._flat_weights_names]
            return layer(*inputs)
        return functional_call(layer, tensors, inputs)


def halved(model: Model, dtype: torch.dtype, ctx: Context) -> Model:
    """The model with its weights in this dtype, as graph and as file.

    Raises:
        PithError: ``technique_inapplicable`` for a model without weights, or with some that the dtype cannot hold.
    """
    model = folded(model, ctx)
    target = scratch_file(ctx.folder, f"half-{ctx.step}.onnx")
    if model.trainable:
        _round(model, dtype, ctx)
    proto = write_float(model, target, ctx)
    count = _replace(proto, dtype, ctx, exact=model.trainable)
    if count == 0:
        reason = f"the model has no weight of two dimensions or more and {LEAST} numbers"
        raise ctx.inapplicable(reason, "leave this step out")
    onnx.save(proto, target)
    if not model.trainable:
        return Model(None, model.signature, finished=target)
    _keep_halves(model.graph, dtype)
    return Model(model.graph, model.signature, finished=target)


def _is_weight(tensor: Tensor) -> bool:
    return tensor.dtype is torch.float32 and tensor.ndim >= 2 and tensor.numel() >= LEAST


def _round(model: Model, dtype: torch.dtype, ctx: Context) -> None:
    for name, tensor in model.graph.named_parameters():
        if _is_weight(tensor):
            _check_range(name, tensor.detach(), dtype, ctx)
            tensor.data = tensor.detach().to(dtype).float()


def _check_range(name: str, tensor: Tensor, dtype: torch.dtype, ctx: Context) -> None:
    largest, most = float(tensor.abs().max()), torch.finfo(dtype).max
    if largest > most:
        reason = f"{name} holds {largest:.3g}, and {dtype} ends at {most:.3g}"
        raise ctx.inapplicable(reason, "use quantize.bfloat16, which has the range of float32")


def _replace(proto: onnx.ModelProto, dtype: torch.dtype, ctx: Context, exact: bool) -> int:
    """Pack in place the weights of a file; only those that the dtype holds exactly, where they are rounded before."""
    nodes, kept = [], []
    for tensor in proto.graph.initializer:
        half = _half(tensor, dtype, ctx, exact)
        if half is None:
            kept.append(tensor)
        else:
            kept.append(half)
            nodes.append(helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))
    rest = list(proto.graph.node)
    _refill(proto.graph, "initializer", kept)
    _refill(proto.graph, "node", [*nodes, *rest])
    return len(nodes)


def _half(tensor: TensorProto, dtype: torch.dtype, ctx: Context, exact: bool) -> TensorProto | None:
    if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
        return None
    real = torch.from_numpy(np.array(numpy_helper.to_array(tensor)))
    if not _is_weight(real):
        return None
    _check_range(tensor.name, real, dtype, ctx)
    half = real.to(dtype)
    if exact and not torch.equal(half.float(), real):
        return None
    data = half.view(torch.int16).numpy().tobytes()
    return helper.make_tensor(f"{tensor.name}_half", _ONNX[dtype], tuple(real.shape), data, raw=True)


def _refill(graph: onnx.GraphProto, field: str, content: Sequence[Any]) -> None:
    graph.ClearField(field)
    getattr(graph, field).extend(content)


def _keep_halves(graph: fx.GraphModule, dtype: torch.dtype) -> None:
    for name, module in list(_owners(graph)):
        graph.set_submodule(name, HalfLayer(module, dtype))
    for node in list(graph.graph.nodes):
        if node.op != "get_attr":
            continue
        owner, _, name = str(node.target).rpartition(".")
        holder = graph.get_submodule(owner)
        tensor = holder._parameters.get(name)
        if tensor is not None and _is_weight(tensor):
            del holder._parameters[name]
            holder.register_buffer(name, tensor.detach().to(dtype))
        if getattr(holder, name).dtype is dtype:
            _cast_after(graph, node)
    graph.recompile()


def _owners(graph: fx.GraphModule) -> Iterator[tuple[str, nn.Module]]:
    """Modules without children that the graph calls and that own a weight."""
    called = {str(node.target) for node in graph.graph.nodes if node.op == "call_module"}
    for name in sorted(called):
        module = graph.get_submodule(name)
        if any(_is_weight(tensor) for tensor in module.parameters()):
            yield name, module


def _cast_after(graph: fx.GraphModule, node: fx.Node) -> None:
    with graph.graph.inserting_after(node):
        cast = graph.graph.call_method("float", (node,))
    node.replace_all_uses_with(cast, delete_user_cb=lambda user: user is not cast)
