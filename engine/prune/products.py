"""How channels pass through operators that multiply or normalize by a tensor that is no layer's own: products of two
values, attention, packed and computed weights."""

from functools import partial
from typing import Any

from torch import fx

from engine.prune.layers import convolve
from engine.prune.trace import NoRule, Result, Trace, place_of, write_argument

Arguments = dict[str, Any]


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
    return (*result, one[-2], other[-1])


def attention(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    query, key, value = (trace.value(args[name]) for name in ("query", "key", "value"))
    reason = f"attention of a fixed size at {place_of(node)}"
    trace.axes.tie(query[-1], key[-1], reason)
    trace.axes.tie(key[-2], value[-2], reason)
    outer = [
        trace.axes.tie(trace.axes.tie(q, k, reason), v, reason)
        for q, k, v in zip(query[:-2], key[:-2], value[:-2], strict=True)
    ]
    if isinstance(mask := args["attn_mask"], fx.Node):
        for axis in trace.value(mask):
            trace.axes.pin(axis, reason)
    return (*outer, query[-2], value[-1])


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
