"""How channels pass through layers that are modules."""

from collections.abc import Callable
from functools import partial

from torch import fx, nn

from engine.prune.axes import Axes, Axis, Places, Value
from engine.prune.trace import NoRule, Result, Trace

Rule = Callable[[Trace, fx.Node, nn.Module], Result]


def through_layer(trace: Trace, node: fx.Node) -> Result:
    """The axes behind a call of a module."""
    module = trace.modules[str(node.target)]
    for kinds, rule in RULES:
        if isinstance(module, kinds):
            return rule(trace, node, module)
    raise NoRule(f"a {type(module).__name__}")


def _linear(trace: Trace, node: fx.Node, module: nn.Module) -> Result:
    *outer, inner = trace.value(node.args[0])
    axes = trace.axes
    axes.tie(axes.axis_of(module, "weight", 1), inner, f"the size of what {node.target} reads is fixed")
    return (*outer, _outputs(axes, module, 0))


def _outputs(axes: Axes, module: nn.Module, dim: int) -> Places:
    out = axes.axis_of(module, "weight", dim)
    if module.bias is not None:
        axes.tie(out, axes.axis_of(module, "bias", 0), "")
    return out


def _convolution(trace: Trace, node: fx.Node, module: nn.Module) -> Result:
    value = trace.value(node.args[0])
    assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    if len(value) != module.weight.ndim:
        raise NoRule("a convolution without a batch")
    out = _outputs(trace.axes, module, 0)
    inner = trace.axes.axis_of(module, "weight", 1)
    convolve(trace.axes, value[1], inner, out, module.groups, f"grouped convolution {node.target}")
    if module.groups > 1 and module.weight.shape[1] == 1:
        whole = value[1] if value[1] is not None else out
        trace.axes.count_of(whole, partial(setattr, module, "groups"))
    return _over_space(trace, value, out, str(node.target))


def _transposed(trace: Trace, node: fx.Node, module: nn.Module) -> Result:
    value, axes = trace.value(node.args[0]), trace.axes
    if module.groups != 1 or len(value) != module.weight.ndim:
        raise NoRule("a grouped transposed convolution")
    axes.tie(axes.axis_of(module, "weight", 0), value[1], f"the size of what {node.target} reads is fixed")
    return _over_space(trace, value, _outputs(axes, module, 1), str(node.target))


def _over_space(trace: Trace, value: Value, out: Axis, name: str) -> Value:
    for axis in value[2:]:
        trace.axes.pin(axis, f"{name} slides along them")
    return (value[0], out, *([None] * (len(value) - 2)))


def convolve(axes: Axes, data: Axis, inner: Places, out: Places, groups: int, reason: str) -> None:
    """Tie what a convolution reads and writes. Groups lose the same places each; depthwise ones go as a whole."""
    if groups == 1:
        axes.tie(inner, data, reason)
        return
    per_group = len(out) // groups
    if data is None:
        axes.pin(inner, reason)
        axes.pin(out, reason)
    elif len(inner) == 1:
        axes.pin(inner, reason)
        for index in range(per_group):
            axes.tie(data, out.reshape(groups, per_group)[:, index], reason)
    elif per_group == 1:
        axes.pin(inner, reason)
        axes.pin(data, reason)
        axes.pin(out, reason)
    else:
        _same_in_each(axes, data, groups, inner)
        _same_in_each(axes, out, groups, out[:per_group])


def _same_in_each(axes: Axes, places: Places, groups: int, first: Places) -> None:
    for part in places.reshape(groups, -1):
        axes.tie(part, first, "")


def _batch_norm(trace: Trace, node: fx.Node, module: nn.Module) -> Result:
    value = trace.value(node.args[0])
    channels = value[1]
    for name in ("weight", "bias", "running_mean", "running_var"):
        channels = _with_tensor(trace.axes, channels, module, name, str(node.target))
    trace.axes.count_of(channels, partial(setattr, module, "num_features"))
    return (value[0], channels, *value[2:])


def _with_tensor(axes: Axes, channels: Axis, module: nn.Module, name: str, path: str) -> Axis:
    if getattr(module, name, None) is None:
        return channels
    return axes.tie(channels, axes.axis_of(module, name, 0), f"the size of what {path} reads is fixed")


def _layer_norm(trace: Trace, node: fx.Node, module: nn.Module) -> Result:
    *outer, channels = trace.value(node.args[0])
    if len(module.normalized_shape) != 1:  # type: ignore[arg-type]
        raise NoRule("a norm over several dimensions")
    for name in ("weight", "bias"):
        channels = _with_tensor(trace.axes, channels, module, name, str(node.target))
    trace.axes.norm(channels)
    trace.axes.count_of(channels, lambda count: setattr(module, "normalized_shape", (count,)))
    return (*outer, channels)


def _group_norm(trace: Trace, node: fx.Node, module: nn.Module) -> Result:
    value = trace.value(node.args[0])
    channels, groups = value[1], int(module.num_groups)  # type: ignore[arg-type]
    for name in ("weight", "bias"):
        channels = _with_tensor(trace.axes, channels, module, name, str(node.target))
    if channels is not None and groups == len(channels):
        trace.axes.count_of(channels, partial(setattr, module, "num_groups"))
    elif channels is not None:
        trace.axes.norm(channels)
        _same_in_each(trace.axes, channels, groups, channels[: len(channels) // groups])
    trace.axes.count_of(channels, partial(setattr, module, "num_channels"))
    return (value[0], channels, *value[2:])


def _prelu(trace: Trace, node: fx.Node, module: nn.Module) -> Result:
    value = trace.value(node.args[0])
    assert isinstance(module, nn.PReLU)
    if module.weight.numel() == 1 or len(value) < 2:
        return value
    channels = _with_tensor(trace.axes, value[1], module, "weight", str(node.target))
    trace.axes.count_of(channels, partial(setattr, module, "num_parameters"))
    return (value[0], channels, *value[2:])


def _recurrent(trace: Trace, node: fx.Node, module: nn.Module) -> Result:
    """What is read may shrink, what is computed stays: its channels are tied to the states."""
    inner = trace.value(node.args[0])[-1]
    for suffix in ("", "_reverse") if module.bidirectional else ("",):
        weight = trace.axes.axis_of(module, f"weight_ih_l0{suffix}", 1)
        inner = trace.axes.tie(weight, inner, f"the size of what {node.target} reads is fixed")
    trace.axes.count_of(inner, partial(setattr, module, "input_size"))
    return trace.opaque(node)


def _embedding(trace: Trace, node: fx.Node, module: nn.Module) -> Result:
    value = trace.value(node.args[0])
    places = trace.axes.axis_of(module, "weight", 1)
    trace.axes.count_of(places, partial(setattr, module, "embedding_dim"))
    return (*value, places)


def _same(trace: Trace, node: fx.Node, module: nn.Module) -> Result:
    return trace.value(node.args[0])


RULES: tuple[tuple[tuple[type[nn.Module], ...], Rule], ...] = (
    ((nn.Linear,), _linear),
    ((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), _transposed),
    ((nn.Conv1d, nn.Conv2d, nn.Conv3d), _convolution),
    ((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _batch_norm),
    ((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), _batch_norm),
    ((nn.LayerNorm, nn.RMSNorm), _layer_norm),
    ((nn.GroupNorm,), _group_norm),
    ((nn.Embedding,), _embedding),
    ((nn.PReLU,), _prelu),
    ((nn.LSTM, nn.GRU, nn.RNN), _recurrent),
    ((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Identity), _same),
)
