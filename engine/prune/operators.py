"""How channels pass through operators: those that move, join, split or reduce, and those that go place by place."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import fx

from engine.lift import bind
from engine.prune.axes import Axis, Value, joined
from engine.prune.products import Arguments, addmm, attention, batch_norm, conv, layer_norm, linear, matmul
from engine.prune.reshape import reshaped
from engine.prune.trace import NoRule, Result, Trace, place_of, write_argument

aten: Any = torch.ops.aten
Rule = Callable[[Trace, fx.Node, Arguments], Result]


def through_operator(trace: Trace, node: fx.Node) -> Result:
    """The axes behind an operator."""
    rule = RULES.get(node.target)
    if rule is not None:
        return rule(trace, node, bind(node))
    if not isinstance(trace.shapes[node], tuple) or not node.all_input_nodes:
        return trace.opaque(node)
    if isinstance(node.target, torch._ops.OpOverload) and torch.Tag.pointwise in node.target.tags:
        return _elementwise(trace, node, {})
    raise NoRule(f"the operator {node.target}")


def _elementwise(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    rank = len(trace.shape(node))
    operands = [
        (trace.value(source), trace.shape(source))
        for source in node.all_input_nodes
        if isinstance(trace.shapes[source], tuple)
    ]
    return tuple(_broadcast(trace, node, operands, dim - rank) for dim in range(rank))


def _broadcast(trace: Trace, node: fx.Node, operands: list[tuple[Value, tuple[int, ...]]], dim: int) -> Axis:
    """One dimension, counted from the end, of the result of an elementwise operator."""
    size = trace.shape(node)[dim]
    found = [value[dim] for value, shape in operands if len(shape) >= -dim and shape[dim] == size]
    first, *others = found
    for other in others:
        first = trace.axes.tie(first, other, f"joined with something of fixed size at {place_of(node)}")
    return first


def _same(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    return trace.value(node.args[0])


def _dim(args: Arguments, value: Value, name: str = "dim") -> int:
    return int(args[name]) % len(value)


def _cat(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    sources = [source for source in args["tensors"] if len(trace.shape(source)) == len(trace.shape(node))]
    values = [trace.value(source) for source in sources]
    dim = _dim(args, values[0])
    sizes = [trace.shape(source)[dim] for source in sources]
    reason = f"joined with something of fixed size at {place_of(node)}"
    merged = joined([value[dim] for value in values], sizes, lambda size: trace.axes.fixed(size, reason))
    result = list(values[0])
    for index in range(len(result)):
        for value in values[1:] if index != dim else []:
            result[index] = trace.axes.tie(result[index], value[index], reason)
    result[dim] = merged
    return tuple(result)


def _stack(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    values = [trace.value(source) for source in args["tensors"]]
    result = list(values[0])
    for index in range(len(result)):
        for value in values[1:]:
            result[index] = trace.axes.tie(result[index], value[index], f"stacked at {place_of(node)}")
    result.insert(int(args["dim"]) % (len(result) + 1), None)
    return tuple(result)


def _split(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    """Pieces of one dimension; their sizes are written out, because they need not stay equal."""
    value = trace.value(args["self"])
    dim, sizes = _dim(args, value), [shape[_dim(args, value)] for shape in trace.shapes[node]]
    axis = value[dim]
    if axis is None:
        return [value for _ in sizes]
    pieces = np.split(axis, np.cumsum(sizes)[:-1])
    for index, piece in enumerate(pieces):
        trace.axes.count_of(piece, partial(_write_piece, node, dim, sizes, index))
    return [(*value[:dim], piece, *value[dim + 1 :]) for piece in pieces]


def _write_piece(node: fx.Node, dim: int, sizes: list[int], index: int, count: int) -> None:
    if node.target is not aten.split_with_sizes.default:
        node.target = aten.split_with_sizes.default
        node.args, node.kwargs = (node.args[0], list(sizes), dim), {}
    write_argument(node, 1, index, count)


def _slice(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    value = trace.value(args["self"])
    dim = _dim(args, value)
    axis = value[dim]
    if axis is None:
        return value
    ends = (args["start"] or 0, len(axis) if args["end"] is None else args["end"])
    if args["step"] != 1 or not all(isinstance(end, int) for end in ends):
        trace.axes.pin(axis, f"tied to a slice with a step at {place_of(node)}")
        return (*value[:dim], None, *value[dim + 1 :])
    start, end = (min(max(end + len(axis) if end < 0 else end, 0), len(axis)) for end in ends)
    if start:
        trace.axes.count_of(axis[:start], partial(write_argument, node, 2, None))
    if end < len(axis):
        trace.axes.count_of(axis[:end], partial(write_argument, node, 3, None))
    return (*value[:dim], axis[start:end], *value[dim + 1 :])


def _select(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    value = trace.value(args["self"])
    dim = _dim(args, value)
    trace.axes.pin(value[dim], f"one of them is picked at {place_of(node)}")
    return (*value[:dim], *value[dim + 1 :])


def _index(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    """Rows picked from a table, such as a bias for each relative position: what is picked along stays."""
    value = trace.value(args["self"])
    given = [(dim, index) for dim, index in enumerate(args["indices"]) if index is not None]
    if len(given) != 1:
        raise NoRule(f"the operator {node.target}")
    ((dim, index),) = given
    trace.axes.pin(value[dim], f"some of them are picked at {place_of(node)}")
    return (*value[:dim], *([None] * len(trace.shape(index))), *value[dim + 1 :])


def _unbind(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    piece = _select(trace, node, args)
    return [piece for _ in trace.shapes[node]]  # type: ignore[misc]


def through_getitem(trace: Trace, node: fx.Node) -> Result:
    found = trace.values[node.args[0]]  # type: ignore[index]
    return found[int(str(node.args[1]))] if isinstance(found, list) else trace.opaque(node)


def _transpose(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    value = list(trace.value(args["self"]))
    one, other = (int(args[name]) % len(value) for name in ("dim0", "dim1"))
    value[one], value[other] = value[other], value[one]
    return tuple(value)


def _matrix_transpose(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    *outer, rows, columns = trace.value(node.args[0])
    return (*outer, columns, rows)


def _permute(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    value = trace.value(args["self"])
    return tuple(value[dim] for dim in args["dims"])


def _movedim(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    value = trace.value(args["self"])
    sources = [args["source"]] if isinstance(args["source"], int) else list(args["source"])
    targets = [args["destination"]] if isinstance(args["destination"], int) else list(args["destination"])
    pairs = sorted((target % len(value), source % len(value)) for target, source in zip(targets, sources, strict=True))
    rest = [dim for dim in range(len(value)) if dim not in {source for _, source in pairs}]
    for target, source in pairs:
        rest.insert(target, source)
    return tuple(value[dim] for dim in rest)


def _view(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    """A change of shape; constants that name a size which may shrink are written anew."""
    source = node.args[0]
    before, after = trace.shape(source), trace.shape(node)  # type: ignore[arg-type]
    result = reshaped(trace.axes, trace.value(source), before, after, place_of(node), trace.parting(node))
    if any(axis is not None for axis in result):
        _count_sizes(trace, node, result)
    return result


def _view_as(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    """The shape of another tensor, which has to shrink alike."""
    before, after = trace.shape(args["self"]), trace.shape(node)
    result = reshaped(trace.axes, trace.value(args["self"]), before, after, place_of(node), trace.parting(node))
    reason = f"joined with something of fixed size at {place_of(node)}"
    return tuple(
        trace.axes.tie(mine, its, reason) for mine, its in zip(result, trace.value(args["other"]), strict=True)
    )


def _count_sizes(trace: Trace, node: fx.Node, result: Value) -> None:
    """A size that the graph computes (the batch times channels) is left to be inferred."""
    if node.target in _SIZED:
        _count_parts(trace, node, result)
    sizes = node.args[1] if node.target in _SHAPED else None
    if not isinstance(sizes, list | tuple):
        return
    computed = [index for index, axis in enumerate(result) if axis is not None and isinstance(sizes[index], fx.Node)]
    if computed and (-1 in sizes or len(computed) > 1):
        raise NoRule("a size that is computed")
    for index, axis in enumerate(result):
        if index in computed:
            trace.axes.count_of(axis, lambda count, place=index: write_argument(node, 1, place, -1))  # type: ignore[misc]
        elif axis is not None and sizes[index] != -1:
            trace.axes.count_of(axis, partial(write_argument, node, 1, index))


def _count_parts(trace: Trace, node: fx.Node, result: Value) -> None:
    """The sizes of an unflatten are those of the parts alone."""
    args = bind(node)
    if not isinstance(args["dim"], int) or len(node.args) < 3:
        raise NoRule("a change of shape by constants")
    first = args["dim"] % len(trace.value(node.args[0]))
    for index, size in enumerate(args["sizes"]):
        if size != -1:
            trace.axes.count_of(result[first + index], partial(write_argument, node, 2, index))


def _expand(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    """What a constant stretches from one is alike in all its places, so any of them may go."""
    value, before, after = trace.value(args["self"]), trace.shape(args["self"]), trace.shape(node)
    added = len(after) - len(before)
    value, before = (*[None] * added, *value), (*[1] * added, *before)
    constant = [isinstance(size, int) and size != -1 for size in args["size"]]
    result = [
        axis if old == new else trace.axes.stretched(new) if written else None
        for axis, old, new, written in zip(value, before, after, constant, strict=True)
    ]
    for index, axis in enumerate(result):
        if constant[index]:
            trace.axes.count_of(axis, partial(write_argument, node, 1, index))
    return tuple(result)


def _repeat(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    value, after = trace.value(args["self"]), trace.shape(node)
    value = (None,) * (len(after) - len(value)) + value
    return tuple(
        None if axis is None else np.tile(axis, size // len(axis)) for axis, size in zip(value, after, strict=True)
    )


def _reduce(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    """A sum, mean or norm; over channels it is an average of what is left of them."""
    value = trace.value(args["self"])
    given = args.get("dim")
    dims = {given} if isinstance(given, int) else set(given or range(len(value)))
    gone = {dim % len(value) for dim in dims}
    for dim in gone:
        trace.axes.norm(value[dim])
    if args.get("keepdim"):
        return tuple(None if dim in gone else axis for dim, axis in enumerate(value))
    return tuple(axis for dim, axis in enumerate(value) if dim not in gone)


def _reduce_pair(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    found = _reduce(trace, node, args)
    return [found, found] if isinstance(found, tuple) else None


def _along(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    """Softmax and the like: the dimension they work along stays."""
    value = trace.value(args["self"])
    dim = _dim(args, value)
    trace.axes.pin(value[dim], f"{_name(node)} works along them at {place_of(node)}")
    return (*value[:dim], None, *value[dim + 1 :])


def _over_last(count: int) -> Rule:
    """Pooling and resampling: the last dimensions are space, the others pass."""

    def rule(trace: Trace, node: fx.Node, args: Arguments) -> Result:
        value = trace.value(node.args[0])
        for axis in value[-count:]:
            trace.axes.pin(axis, f"{_name(node)} slides along them at {place_of(node)}")
        result = (*value[:-count], *([None] * count))
        return [result, result] if isinstance(trace.shapes[node], list) else result

    return rule


def _pad(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    """Zeros put beside channels are channels that may go as well; other dimensions stay."""
    value, amounts = list(trace.value(args["self"])), list(args["pad"])
    for place in range(len(amounts) // 2):
        dim, (left, right) = len(value) - 1 - place, amounts[2 * place : 2 * place + 2]
        axis = value[dim]
        if axis is None or (left == 0 and right == 0):
            continue
        if args.get("mode", "constant") != "constant" or left < 0 or right < 0:
            raise NoRule("padding other than with zeros")
        before, after = trace.axes.fresh(left), trace.axes.fresh(right)
        trace.axes.count_of(before if left else None, partial(write_argument, node, 1, 2 * place))
        trace.axes.count_of(after if right else None, partial(write_argument, node, 1, 2 * place + 1))
        value[dim] = np.concatenate([before, axis, after])
    return tuple(value)


def _roll(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    value = trace.value(args["self"])
    for dim in args["dims"] or range(len(value)):
        trace.axes.pin(value[dim], f"rolled at {place_of(node)}")
    return value


def _unsqueeze(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    value = list(trace.value(args["self"]))
    value.insert(int(args["dim"]) % (len(value) + 1), None)
    return tuple(value)


def _squeeze(trace: Trace, node: fx.Node, args: Arguments) -> Result:
    value, shape = trace.value(args["self"]), trace.shape(args["self"])
    given = args.get("dim")
    dims = {given} if isinstance(given, int) else set(given if given is not None else range(len(value)))
    gone = {dim % len(value) for dim in dims if shape[dim] == 1}
    for dim in gone:
        trace.axes.pin(value[dim], f"squeezed at {place_of(node)}")
    return tuple(axis for dim, axis in enumerate(value) if dim not in gone)


def _name(node: fx.Node) -> str:
    return str(node.target).removeprefix("aten.").partition(".")[0]


def _overloads(*names: str) -> list[Any]:
    """All overloads of these operators, as far as this torch has them."""
    packets = [getattr(aten, name) for name in names if hasattr(aten, name)]
    return [getattr(packet, overload) for packet in packets for overload in packet.overloads()]


_SHAPED = set(_overloads("view", "reshape", "_unsafe_view", "_reshape_copy"))
_SIZED = set(_overloads("unflatten"))
_TABLE: list[tuple[Rule, list[Any]]] = [
    (_same, _overloads("to", "_to_copy", "contiguous", "clone", "dropout", "dropout_", "feature_dropout", "detach")),
    (_same, _overloads("alias", "lift_fresh_copy", "detach_", "alpha_dropout")),
    (_elementwise, _overloads("hardswish", "hardswish_", "masked_fill_", "type_as", "bernoulli", "relu6_")),
    (_elementwise, _overloads("where", "__and__", "__or__", "full_like", "zeros_like", "ones_like")),
    (_elementwise, _overloads("selu", "celu", "log_sigmoid", "expand_as", "rrelu")),
    (_cat, _overloads("cat", "concat", "concatenate")),
    (_stack, _overloads("stack")),
    (_split, [*_overloads("split_with_sizes", "chunk", "split"), aten.tensor_split.sections]),
    (_slice, [aten.slice.Tensor]),
    (_select, [aten.select.int]),
    (_index, [aten.index.Tensor]),
    (_unbind, [aten.unbind.int]),
    (_transpose, [aten.transpose.int, aten.swapaxes.default]),
    (_matrix_transpose, [aten.mT.default, aten.t.default, aten.numpy_T.default]),
    (_permute, [aten.permute.default]),
    (_movedim, _overloads("movedim", "moveaxis")),
    (_view, [*_overloads("view", "reshape", "_unsafe_view", "_reshape_copy", "flatten", "unflatten")]),
    (_view_as, _overloads("view_as", "reshape_as")),
    (_expand, [aten.expand.default]),
    (_repeat, [aten.repeat.default]),
    (_reduce, [aten.mean.dim, aten.sum.dim_IntList, aten.amax.default, aten.amin.default, aten.var.correction]),
    (
        _reduce,
        [aten.var.dim, aten.std.dim, aten.std.correction, aten.linalg_vector_norm.default, aten.norm.ScalarOpt_dim],
    ),
    (_reduce, [aten.logsumexp.default, aten.mean.default, aten.sum.default]),
    (_reduce_pair, [aten.max.dim, aten.min.dim, aten.var_mean.correction, aten.var_mean.dim]),
    (_along, _overloads("softmax", "log_softmax", "_softmax", "cumsum", "sort", "cumprod")),
    (_over_last(1), _overloads("max_pool1d", "avg_pool1d", "adaptive_avg_pool1d", "adaptive_max_pool1d")),
    (_over_last(1), _overloads("upsample_linear1d", "upsample_nearest1d", "max_pool1d_with_indices")),
    (_over_last(2), _overloads("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d")),
    (_over_last(2), _overloads("upsample_bilinear2d", "upsample_nearest2d", "upsample_bicubic2d")),
    (_over_last(2), _overloads("max_pool2d_with_indices", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa")),
    (_over_last(3), _overloads("max_pool3d", "avg_pool3d", "adaptive_avg_pool3d", "upsample_trilinear3d")),
    (_pad, _overloads("pad", "constant_pad_nd")),
    (matmul, _overloads("matmul", "bmm", "mm")),
    (addmm, [aten.addmm.default]),
    (attention, [aten.scaled_dot_product_attention.default]),
    (linear, [aten.linear.default]),
    (conv, _overloads("conv1d", "conv2d", "conv3d")),
    (batch_norm, _overloads("batch_norm", "instance_norm")),
    (layer_norm, _overloads("layer_norm", "rms_norm")),
    (_roll, [aten.roll.default]),
    (_unsqueeze, [aten.unsqueeze.default]),
    (_squeeze, _overloads("squeeze")),
]
RULES: dict[Any, Rule] = {operator: rule for rule, operators in _TABLE for operator in operators}
