"""How channels pass through operators that multiply or normalize by a tensor that is no layer's own: products of two
values, attention, packed and computed weights."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from engine.lift import bind
from engine.prune.axes import Axis, Value
from engine.prune.layers import convolve
from engine.prune.trace import Attended, NoRule, Result, Trace, place_of, write_argument

aten: Any = torch.ops.aten
Arguments = dict[str, Any]
_SOFTMAX = {aten.softmax.int, aten._softmax.default}
_PASSING = {aten.dropout.default, aten.clone.default, aten.contiguous.default, aten.expand.default, aten.view.default}
_PASSING |= {aten.to.dtype, aten.to.device, aten.to.dtype_layout, aten._to_copy.default, aten.reshape.default}


def matmul(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    one, other = (trace.value(source) for source in node.args[:2])
    if len(one) < 2 or len(other) < 2:
        raise NoRule("a product with a vector")
    reason = f"multiplied with something of fixed size at {place_of(node)}"
    trace.axes.tie(one[-1], other[-2], reason)
    outer = len(trace.shape(node)) - 2
    operands = [(value[:-2], trace.shape(source)[:-2]) for value, source in zip((one, other), node.args, strict=False)]  # type: ignore[arg-type]
    result = []
    for dim in range(-outer, 0):
        size = trace.shape(node)[dim - 2]
        found = [value[dim] for value, shape in operands if len(shape) >= -dim and shape[dim] == size]
        axis = found[0]
        for also in found[1:]:
            axis = trace.axes.tie(axis, also, reason)
        result.append(axis)
    if outer and _weighs(trace, node.args[0]):
        trace.attended.append(Attended(node, result[-1], trace.shape(node)))
    return (*result, one[-2], other[-1])


def _weighs(trace: Trace, node: Any) -> bool:
    """Whether this value is a softmax over its last dimension, perhaps with dropout: the weights of attention."""
    while isinstance(node, fx.Node):
        if node.target in _SOFTMAX:
            return int(bind(node)["dim"]) in (-1, len(trace.shape(node)) - 1)
        passes = node.target in _PASSING or isinstance(trace.modules.get(str(node.target)), nn.Dropout | nn.Identity)
        node = node.args[0] if passes else None
    return False


def addmm(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    """A product of matrices and a sum in one: the linear layer of GPT-2."""
    rows, inner = trace.value(args["mat1"])
    weight, out = trace.value(args["mat2"])
    reason = f"multiplied with something of fixed size at {place_of(node)}"
    trace.axes.tie(inner, weight, reason)
    bias = trace.value(args["self"])
    if trace.shape(args["self"])[-1] == trace.shape(node)[-1]:
        out = trace.axes.tie(out, bias[-1], reason)
    return (rows, out)


def attention(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    query, key, value = (trace.value(args[name]) for name in ("query", "key", "value"))
    reason = f"attention of a fixed size at {place_of(node)}"
    trace.axes.tie(query[-1], key[-1], reason)
    trace.axes.tie(key[-2], value[-2], reason)
    if args["enable_gqa"]:
        key, value = (_repeated(each, query, trace.shape(args["query"])[-3]) for each in (key, value))
    outer = [
        trace.axes.tie(trace.axes.tie(q, k, reason), v, reason)
        for q, k, v in zip(query[:-2], key[:-2], value[:-2], strict=True)
    ]
    if isinstance(mask := args["attn_mask"], fx.Node):
        outer = _masked(trace, outer, mask, trace.shape(node), reason)
    if outer:
        trace.attended.append(Attended(node, outer[-1], trace.shape(node)))
    return (*outer, query[-2], value[-1])


def _repeated(each: Value, query: Value, heads: int) -> Value:
    """Keys or values that several heads of the query share, once for each of them."""
    shared = each[-3]
    if shared is None:
        return each
    return (*each[:-3], np.repeat(shared, heads // len(shared)), *each[-2:])


def _masked(trace: Trace, outer: list[Axis], mask: fx.Node, shape: tuple[int, ...], reason: str) -> list[Axis]:
    """A mask or bias with a size of its own for each head loses them with the heads; the rest of it stays."""
    value, sizes = trace.value(mask), trace.shape(mask)
    for axis in value[-2:]:
        trace.axes.pin(axis, reason)
    for dim in range(-len(value), -2):
        if sizes[dim] == shape[dim] and sizes[dim] > 1:
            outer[dim + 2] = trace.axes.tie(outer[dim + 2], value[dim], reason)
    return outer


def linear(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    """A linear layer whose weight is no module's own: packed attention, computed weights."""
    *outer, inner = trace.value(args["input"])
    out, weight = trace.value(args["weight"])
    reason = f"multiplied with something of fixed size at {place_of(node)}"
    trace.axes.tie(inner, weight, reason)
    if args["bias"] is not None:
        out = trace.axes.tie(out, trace.value(args["bias"])[0], reason)
    return (*outer, out)


def conv(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    """A convolution whose weight is computed (weight standardisation)."""
    value, weight = trace.value(args["input"]), trace.value(args["weight"])
    reason = f"a convolution with a computed weight at {place_of(node)}"
    out, inner = weight[0], weight[1]
    if args["bias"] is not None:
        out = trace.axes.tie(out, trace.value(args["bias"])[0], reason)
    if out is None or (inner is None and trace.shape(args["weight"])[1] > 1) or int(args["groups"]) > 1:
        raise NoRule("a convolution with a computed weight")
    if inner is None:
        trace.axes.pin(value[1], reason)
    else:
        convolve(trace.axes, value[1], inner, out, 1, reason)
    for axis in value[2:]:
        trace.axes.pin(axis, reason)
    return (value[0], out, *([None] * (len(value) - 2)))


def batch_norm(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    value = trace.value(args["input"])
    channels = value[1]
    for name in ("weight", "bias", "running_mean", "running_var"):
        if args[name] is not None:
            channels = trace.axes.tie(channels, trace.value(args[name])[0], f"a norm at {place_of(node)}")
    if args.get("training", args.get("use_input_stats")) and value[2:]:
        for axis in (value[0], *value[2:]):
            trace.axes.norm(axis)
    return (value[0], channels, *value[2:])


def layer_norm(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    *outer, channels = trace.value(args["input"])
    if len(args["normalized_shape"]) != 1:
        raise NoRule("a norm over several dimensions")
    for name in ("weight", "bias"):
        if args.get(name) is not None:
            channels = trace.axes.tie(channels, trace.value(args[name])[0], f"a norm at {place_of(node)}")
    trace.axes.norm(channels)
    trace.axes.count_of(channels, partial(write_argument, node, 1, 0))
    return (*outer, channels)
