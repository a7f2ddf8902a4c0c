"""A quantized ONNX file brought back into the graph: the same integers, the same scales.

So the .pt2 and the safetensors of a quantized model hold what the ONNX file holds. Layers that the quantizer left
alone stay as they are. Rounded activations are ``engine.quantize.rounding``'s.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, fx, nn
from torch.nn import functional

_TABLE = ("_quantized", "_scale", "_zero_point")
Layer = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear
_CONVOLUTIONS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv1d: functional.conv1d,
    nn.Conv2d: functional.conv2d,
    nn.Conv3d: functional.conv3d,
}


@dataclass(frozen=True)
class IntegerWeight:
    """``real = (values - zero_point) * scale``, the scale being one number or one for each of ``axis``.

    ``bias`` is what the file's integers say, where it keeps the bias as integers too.
    """

    values: NDArray[np.int8]
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int32]
    axis: int
    bias: NDArray[np.float32] | None = None

    def transposed(self) -> "IntegerWeight":
        return replace(self, values=np.ascontiguousarray(self.values.T), axis=1 - self.axis)

    def centred(self) -> NDArray[np.int8]:
        """The integers with their zero point taken off."""
        centred: NDArray[np.int8] = (self.values.astype(np.int32) - self._along(self.zero_point)).astype(np.int8)
        return centred

    def scales(self) -> NDArray[np.float32]:
        """The scale, shaped to multiply the integers."""
        return self._along(self.scale)

    def _along(self, numbers: NDArray[Any]) -> NDArray[Any]:
        shape = [1] * self.values.ndim
        shape[self.axis] = numbers.size
        return numbers.reshape(shape)


class IntegerLayer(nn.Module):
    """A convolution or linear layer that keeps its weight as 8-bit integers and computes in floating point."""

    weight: Tensor
    weight_scale: Tensor
    bias: Tensor | None

    def __init__(self, layer: Layer, integers: IntegerWeight) -> None:
        super().__init__()
        self.register_buffer("weight", torch.from_numpy(integers.centred()))
        self.register_buffer("weight_scale", torch.from_numpy(integers.scales().copy()))
        bias = layer.bias.detach().clone() if layer.bias is not None else None
        if bias is not None and integers.bias is not None:
            bias = torch.from_numpy(integers.bias.copy())
        self.register_buffer("bias", bias)
        self.compute = functional_of(layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(x, self.weight.to(x.dtype) * self.weight_scale, self.bias)


class IntegerTable(nn.Module):
    """An embedding that keeps its table as unsigned 8-bit integers, with one scale and one zero point."""

    weight: Tensor
    weight_scale: Tensor
    zero_point: Tensor

    def __init__(self, values: NDArray[np.uint8], scale: float, zero_point: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.from_numpy(values.copy()))
        self.register_buffer("weight_scale", torch.tensor(scale))
        self.register_buffer("zero_point", torch.tensor(zero_point, dtype=torch.int32))

    def forward(self, ids: Tensor) -> Tensor:
        return (functional.embedding(ids, self.weight).to(torch.int32) - self.zero_point) * self.weight_scale


def replace_tables(graph: fx.GraphModule, proto: onnx.ModelProto) -> int:
    """Replace in place every embedding whose table the file holds as integers; says how many."""
    arrays = {tensor.name: tensor for tensor in proto.graph.initializer}
    stems = [node.input[0].removesuffix("_quantized") for node in proto.graph.node if node.op_type == "Gather"]
    held = [_table(arrays, stem) for stem in stems if f"{stem}_quantized" in arrays]
    tables = [(name, module) for name, module in graph.named_modules() if isinstance(module, nn.Embedding)]
    count = 0
    for name, module in tables:
        match = next((table for table in held if _is_table(table, module.weight)), None)
        if match is not None:
            graph.set_submodule(name, match)
            count += 1
    return count


def _table(arrays: dict[str, onnx.TensorProto], stem: str) -> IntegerTable:
    values, scale, zero = (numpy_helper.to_array(arrays[f"{stem}{end}"]) for end in _TABLE)
    return IntegerTable(values, float(scale), int(zero))


def _is_table(table: IntegerTable, weight: Tensor) -> bool:
    if table.weight.shape != weight.shape:
        return False
    given = (table.weight.to(torch.int32) - table.zero_point) * table.weight_scale
    return bool((given - weight.detach()).abs().max() <= 1.01 * table.weight_scale)


def replace_layers(graph: fx.GraphModule, proto: onnx.ModelProto) -> int:
    """Replace in place every layer whose weight the file holds as integers; says how many."""
    found = integers_of(graph, proto)
    for name, integers in found.items():
        layer = graph.get_submodule(name)
        assert isinstance(layer, Layer)
        graph.set_submodule(name, IntegerLayer(layer, integers))
    return len(found)


def integers_of(graph: fx.GraphModule, proto: onnx.ModelProto) -> dict[str, IntegerWeight]:
    """What the file holds for each layer, by its path."""
    weights = list(integer_weights(proto))
    found = {}
    for name, module in graph.named_modules():
        if isinstance(module, Layer):
            match = next((integers for integers in weights if _same(integers, module.weight)), None)
            if match is not None:
                found[name] = match
    return found


def integer_weights(proto: onnx.ModelProto) -> Iterator[IntegerWeight]:
    """Every quantized weight of the file, also transposed where it is a matrix: exporters store either."""
    arrays = {tensor.name: tensor for tensor in proto.graph.initializer}
    made = {node.output[0]: node for node in proto.graph.node}
    for node in proto.graph.node:
        for index, name in enumerate(node.input[:2]):
            found = _weight(node, index, name, arrays, made)
            if found is not None:
                yield found
                if found.values.ndim == 2:
                    yield found.transposed()


def _weight(
    node: onnx.NodeProto,
    index: int,
    name: str,
    arrays: dict[str, onnx.TensorProto],
    made: dict[str, onnx.NodeProto],
) -> IntegerWeight | None:
    if index != 1:
        return None
    if node.op_type in ("Conv", "Gemm", "MatMul") and name in made and made[name].op_type == "DequantizeLinear":
        source = made[name]
        if source.input[0] not in arrays:
            return None
        axis = next((attribute.i for attribute in source.attribute if attribute.name == "axis"), 0)
        return _integers(arrays, list(source.input), axis, _bias(node, arrays, made))
    if node.op_type == "MatMulInteger" and name in arrays:
        stem = name.removesuffix("_quantized")
        return _integers(arrays, [name, f"{stem}_scale", f"{stem}_zero_point"], 1, None)
    return None


def _integers(
    arrays: dict[str, onnx.TensorProto], names: list[str], axis: int, bias: NDArray[np.float32] | None
) -> IntegerWeight | None:
    if any(name not in arrays for name in names):
        return None
    values, scale, *zero = (numpy_helper.to_array(arrays[name]) for name in names)
    zero_point = zero[0].astype(np.int32) if zero else np.zeros(1, np.int32)
    if values.ndim < 2 or values.dtype != np.int8:
        return None
    return IntegerWeight(values, scale.reshape(-1), zero_point.reshape(-1), axis, bias)


def _bias(
    node: onnx.NodeProto, arrays: dict[str, onnx.TensorProto], made: dict[str, onnx.NodeProto]
) -> NDArray[np.float32] | None:
    """A bias of 32-bit integers, each ``scale`` of the input times that of its channel's weight."""
    source = made.get(node.input[2]) if len(node.input) > 2 else None
    if source is None or source.op_type != "DequantizeLinear" or source.input[0] not in arrays:
        return None
    values, scale = (numpy_helper.to_array(arrays[name]) for name in source.input[:2])
    return (values * scale).astype(np.float32)  # type: ignore[no-any-return]


def _same(integers: IntegerWeight, weight: Tensor) -> bool:
    """Whether these are the integers of this weight: no value further away than the rounding of its scale."""
    if integers.values.shape != tuple(weight.shape):
        return False
    difference = np.abs(integers.centred() * integers.scales() - weight.detach().numpy())
    return bool(difference.max() <= 1.01 * float(integers.scale.max()))


def functional_of(layer: Layer) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    if isinstance(layer, nn.Linear):
        return functional.linear
    return partial(
        _CONVOLUTIONS[type(layer)],
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
    )
