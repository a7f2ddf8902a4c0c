"""An exported program becomes a graph of ordinary ``nn`` modules under their original dotted names.

Covered: convolutions, transposed convolutions, linear, batch/layer/group norm, embedding, dropout. Anything else
stays the operator it was, its parameters included (recurrent layers and packed attention weights among them).
Not covered: control flow.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.export import ExportedProgram

from engine.signature import Signature, signature_of

aten = torch.ops.aten

_VIEWS = {aten.view.default, aten.reshape.default, aten._unsafe_view.default}
_ATTENTION = aten.scaled_dot_product_attention.default
_DROPPED = {aten._assert_tensor_metadata.default}


@dataclass(frozen=True)
class Layer:
    """How one operator becomes a module: which arguments are its tensors, and how the rest builds it."""

    tensors: tuple[str, ...]
    build: Callable[[dict[str, Any], dict[str, torch.Tensor]], nn.Module]


def lift(program: ExportedProgram) -> tuple[fx.GraphModule, Signature]:
    """The program as a trainable graph in eval mode: tensors in by position, one tensor out, or a tuple of several.

    Raises:
        PithError: ``model_unsupported`` or ``model_fixed_batch``.
    """
    signature = signature_of(program)
    source = program.module(check_guards=False)
    return _Lifting(source).run(), signature


class _Lifting:
    """One pass over the source graph; ``self.made`` holds the modules by path."""

    def __init__(self, source: fx.GraphModule) -> None:
        self.source = source
        self.graph = fx.Graph()
        self.made: dict[str, nn.Module] = {}
        self.built_by: dict[str, tuple[Any, ...]] = {}
        self.env: dict[fx.Node, fx.Node] = {}

    def run(self) -> fx.GraphModule:
        for node in self.source.graph.nodes:
            self._copy(node)
        root = nn.Module()
        for path, module in sorted(self.made.items(), key=lambda item: item[0].count(".")):
            _install(root, path, module)
        for node in list(self.graph.nodes):
            if node.op == "get_attr" and not node.users:
                self.graph.erase_node(node)
            elif node.op == "get_attr":
                _install_tensor(root, node.target, _fetch(self.source, node.target))
        self.graph.lint()
        return fx.GraphModule(root, self.graph, "Lifted").eval()

    def _copy(self, node: fx.Node) -> None:
        if node.op == "call_module" or node.target in _DROPPED or _counts_batches(node) or _is_constant_input(node):
            return
        if node.op == "output":
            leaves = tuple(self.env[leaf] for leaf in _leaves(node.args))
            self.graph.output(leaves[0] if len(leaves) == 1 else leaves)
            return
        new = self._lifted(node)
        if new is None:
            new = self.graph.node_copy(node, self.env.__getitem__)
            _rewrite(node, new)
        new.meta = {key: node.meta[key] for key in ("nn_module_stack",) if key in node.meta}
        self.env[node] = new

    def _lifted(self, node: fx.Node) -> fx.Node | None:
        """The call of a module in place of this operator, or None when it must stay one."""
        layer = LAYERS.get(node.target) if node.op == "call_function" else None
        if layer is None:
            return None
        args = bind(node)
        sources = {name: args.pop(name) for name in layer.tensors}
        if any(value is not None and value.op != "get_attr" for value in sources.values()):
            return None
        data = args.pop(next(iter(args)))
        args["rank"] = data.meta["val"].ndim
        path = _path(node, sources)
        if path is None or not self._make(path, layer, args, sources):
            return None
        return self.graph.call_module(path, (self.env[data],))

    def _make(self, path: str, layer: Layer, args: dict[str, Any], sources: dict[str, Any]) -> bool:
        """Make the module unless the same one is there; False when the path belongs to another."""
        names = {name: value.target for name, value in sources.items() if value is not None}
        made_by = (layer, tuple(sorted(names.items())), repr(args))
        if path in self.made:
            return self.built_by[path] == made_by
        tensors = {name: _fetch(self.source, target) for name, target in names.items()}
        module = layer.build(args, tensors)
        for name, tensor in tensors.items():
            _replace(module, name, tensor)
        self.made[path], self.built_by[path] = module, made_by
        return True


def bind(node: fx.Node) -> dict[str, Any]:
    """The arguments of an operator call by name, defaults filled in."""
    operator: Any = node.target
    schema = operator._schema.arguments
    given = dict(zip((argument.name for argument in schema), node.args, strict=False))
    return {
        argument.name: given.get(argument.name, node.kwargs.get(argument.name, argument.default_value))
        for argument in schema
    }


def _path(node: fx.Node, sources: dict[str, Any]) -> str | None:
    weight = sources.get("weight")
    if weight is not None:
        parent, _, leaf = weight.target.rpartition(".")
        return parent if parent and leaf == "weight" else None
    stack = node.meta.get("nn_module_stack")
    return list(stack.values())[-1][0] or None if stack else None


def _counts_batches(node: fx.Node) -> bool:
    """The ``num_batches_tracked += 1`` of a batch norm exported in train mode; the module does that itself."""
    return node.op == "call_function" and node.target is aten.add_.Tensor and "num_batches_tracked" in str(node.args[0])


def _is_constant_input(node: fx.Node) -> bool:
    """An argument that was no tensor at export: its value is part of the graph."""
    return node.op == "placeholder" and not node.users and not isinstance(node.meta.get("val"), torch.Tensor)


def _rewrite(old: fx.Node, new: fx.Node) -> None:
    """Loosen a flatten; pin the scale of attention, which would follow the size of a head."""
    args = bind(new) if new.target in _VIEWS or new.target is _ATTENTION else {}
    if new.target in _VIEWS:
        data, shape, *_ = args.values()
        new.args = (data, _free_width(old, list(shape)))
    elif new.target is _ATTENTION and args["scale"] is None:
        new.kwargs = {**new.kwargs, "scale": bind(old)["query"].meta["val"].shape[-1] ** -0.5}


def _free_width(old: fx.Node, shape: list[Any]) -> list[Any]:
    """Let a flattened width follow the channels that feed it, and pin every other inferred size.

    A shape with one constant, the last, is a flatten: the constant becomes -1. Elsewhere a static -1 becomes its
    value, so that a channel count that no longer fits is an error and never a silent reshuffle.
    """
    sizes = old.meta["val"].shape
    shape = [int(size) if dim == -1 and isinstance(size, int) else dim for dim, size in zip(shape, sizes, strict=True)]
    constants = [index for index, dim in enumerate(shape) if isinstance(dim, int)]
    if constants == [len(shape) - 1] and len(shape) > 1:
        shape[-1] = -1
    return shape


def _leaves(args: Any) -> Iterable[fx.Node]:
    if isinstance(args, fx.Node):
        yield args
    elif isinstance(args, list | tuple):
        for arg in args:
            yield from _leaves(arg)


def _fetch(root: nn.Module, path: str) -> torch.Tensor:
    parent, _, leaf = path.rpartition(".")
    tensor: torch.Tensor = getattr(root.get_submodule(parent), leaf)
    return tensor


def _install(root: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, leaf = path.rpartition(".")
    _container(root, parent).add_module(leaf, module)


def _install_tensor(root: nn.Module, path: str, tensor: torch.Tensor) -> None:
    parent, _, leaf = path.rpartition(".")
    holder = _container(root, parent)
    if not hasattr(holder, leaf):
        _replace(holder, leaf, tensor)


def _container(root: nn.Module, path: str) -> nn.Module:
    for name in filter(None, path.split(".")):
        if name not in root._modules:
            root.add_module(name, nn.Module())
        root = root.get_submodule(name)
    return root


def _replace(module: nn.Module, name: str, tensor: torch.Tensor) -> None:
    if isinstance(tensor, nn.Parameter):
        module._buffers.pop(name, None)
        tensor.requires_grad_(tensor.is_floating_point())
        module.register_parameter(name, tensor)
    else:
        module._parameters.pop(name, None)
        module.register_buffer(name, tensor)


def _size(value: Any, dims: int) -> tuple[int, ...]:
    return tuple(value) * dims if len(value) == 1 else tuple(value)


def _conv(kind: type[nn.Module], dims: int, transposed: bool = False) -> Layer:
    def build(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
        weight, groups = tensors["weight"], args["groups"]
        padding = args["padding"] if isinstance(args["padding"], str) else _size(args["padding"], dims)
        extra = {"output_padding": _size(args["output_padding"], dims)} if transposed else {}
        inner, outer = (0, 1) if transposed else (1, 0)
        return kind(
            weight.shape[inner] * (1 if transposed else groups),
            weight.shape[outer] * (groups if transposed else 1),
            tuple(weight.shape[2:]),
            stride=_size(args["stride"], dims),
            padding=padding,
            dilation=_size(args["dilation"], dims),
            groups=groups,
            bias="bias" in tensors,
            device="meta",
            **extra,
        )

    return Layer(("weight", "bias"), build)


def _linear(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
    outer, inner = tensors["weight"].shape
    return nn.Linear(inner, outer, bias="bias" in tensors, device="meta")


def _batch_norm(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
    width = next(iter(tensors.values())).shape[0]
    tracked = "running_mean" in tensors
    kind = {4: nn.BatchNorm2d, 5: nn.BatchNorm3d}.get(args["rank"], nn.BatchNorm1d)
    return kind(width, args["eps"], args["momentum"], affine="weight" in tensors, track_running_stats=tracked)


def _layer_norm(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
    return nn.LayerNorm(
        list(args["normalized_shape"]), args["eps"], elementwise_affine="weight" in tensors, bias="bias" in tensors
    )


def _group_norm(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
    return nn.GroupNorm(args["num_groups"], tensors["weight"].shape[0], args["eps"])


def _embedding(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
    count, width = tensors["weight"].shape
    padding = args["padding_idx"] if args["padding_idx"] >= 0 else None
    return nn.Embedding(count, width, padding_idx=padding, device="meta")


def _dropout(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
    return nn.Dropout(args["p"])


def _feature_dropout(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
    return nn.Dropout2d(args["p"])


LAYERS: dict[Any, Layer] = {
    aten.conv1d.default: _conv(nn.Conv1d, 1),
    aten.conv1d.padding: _conv(nn.Conv1d, 1),
    aten.conv2d.default: _conv(nn.Conv2d, 2),
    aten.conv2d.padding: _conv(nn.Conv2d, 2),
    aten.conv3d.default: _conv(nn.Conv3d, 3),
    aten.conv3d.padding: _conv(nn.Conv3d, 3),
    aten.conv_transpose1d.default: _conv(nn.ConvTranspose1d, 1, transposed=True),
    aten.conv_transpose2d.input: _conv(nn.ConvTranspose2d, 2, transposed=True),
    aten.conv_transpose3d.input: _conv(nn.ConvTranspose3d, 3, transposed=True),
    aten.linear.default: Layer(("weight", "bias"), _linear),
    aten.batch_norm.default: Layer(("weight", "bias", "running_mean", "running_var"), _batch_norm),
    aten.layer_norm.default: Layer(("weight", "bias"), _layer_norm),
    aten.group_norm.default: Layer(("weight", "bias"), _group_norm),
    aten.embedding.default: Layer(("weight",), _embedding),
    aten.dropout.default: Layer((), _dropout),
    aten.feature_dropout.default: Layer((), _feature_dropout),
}
