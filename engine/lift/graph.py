"""The walk over an exported graph: operators become modules, everything else is copied in the order it stood.

Covered: convolutions, transposed convolutions, linear, norms, embedding, dropout, recurrent layers; the packed weights
of self-attention become one linear layer. Anything else stays the operator it was, its parameters included (the packed
weights of attention to another sequence among them).
Not covered: control flow; dropout inside scaled dot-product attention, which an export in eval mode has lost anyway.
"""

from collections.abc import Iterable
from operator import getitem
from typing import Any

import torch
from torch import fx, nn
from torch.export import ExportedProgram

from engine.lift.arguments import bind
from engine.lift.batch import with_dynamic_batch
from engine.lift.layers import LAYERS, Layer
from engine.lift.recurrent import RECURRENT, recurrent
from engine.lift.shapes import rewrite, settled, unsettled
from engine.lift.tree import fetch, install, install_tensor, replace
from engine.signature import Signature, signature_of

aten = torch.ops.aten

_DROPPED = {aten._assert_tensor_metadata.default}


def lift(program: ExportedProgram) -> tuple[fx.GraphModule, Signature]:
    """The program as a trainable graph in eval mode: tensors in by position, one tensor out, or a tuple of several.

    A program with a fixed batch is traced again for any batch first.

    Raises:
        PithError: ``model_unsupported`` or ``model_fixed_batch``.
    """
    program = with_dynamic_batch(program)
    signature = signature_of(program)
    source = program.module(check_guards=False)
    return _Lifting(source).run(), signature


class _Lifting:
    """One pass over the source graph; ``self.made`` holds the modules by path."""

    def __init__(self, source: fx.GraphModule) -> None:
        self.source = source
        self.names = {str(node.target) for node in source.graph.nodes if node.op == "get_attr"}
        self.graph = fx.Graph()
        self.made: dict[str, nn.Module] = {}
        self.built_by: dict[str, tuple[Any, ...]] = {}
        self.env: dict[fx.Node, fx.Node] = {}

    def run(self) -> fx.GraphModule:
        for node in self.source.graph.nodes:
            self._copy(node)
        root = nn.Module()
        for path, module in sorted(self.made.items(), key=lambda item: item[0].count(".")):
            install(root, path, module)
        for node in list(self.graph.nodes):
            if node.op == "get_attr" and not node.users:
                self.graph.erase_node(node)
            elif node.op == "get_attr":
                install_tensor(root, node.target, fetch(self.source, node.target))
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
            rewrite(node, new)
            new = self.graph.call_function(*settled(new)) if unsettled(node) else new
        new.meta = {key: node.meta[key] for key in ("nn_module_stack",) if key in node.meta}
        self.env[node] = new

    def _lifted(self, node: fx.Node) -> fx.Node | None:
        """The call of a module in place of this operator, or None when it must stay one."""
        if node.op != "call_function":
            return None
        if node.target in RECURRENT:
            return self._recurrent(node)
        if node.target is getitem and node.args[0].target in RECURRENT and self.env[node.args[0]].op == "call_module":  # type: ignore[union-attr, index]
            return self._state(node)
        layer = LAYERS.get(node.target)
        return None if layer is None else self._layer(node, layer)

    def _layer(self, node: fx.Node, layer: Layer) -> fx.Node | None:
        args = bind(node)
        sources = {name: args.pop(name) for name in layer.tensors}
        if any(value is not None and value.op != "get_attr" for value in sources.values()):
            return None
        data = args.pop(next(iter(args)))
        args["rank"], args["channels"] = data.meta["val"].ndim, _channels(data)
        path = self._path(node, layer, sources)
        if path is None or not self._make(path, layer, args, sources):
            return None
        return self.graph.call_module(path, (self.env[data],))

    def _path(self, node: fx.Node, layer: Layer, sources: dict[str, Any]) -> str | None:
        """Where the module belongs: beside its weight, or where the operator was called from."""
        weight, bias = sources.get("weight"), sources.get("bias")
        if weight is not None:
            parent, _, leaf = weight.target.rpartition(".")
            if bias is not None and leaf == "weight" and bias.target != f"{parent}.bias":
                parent, _, leaf = bias.target.rpartition(".")  # the weight is tied to that of another layer
                return parent if parent and leaf == "bias" else None
            if leaf.endswith("_weight") and layer.tensors == ("weight", "bias"):
                return self._named_so(parent, leaf.removesuffix("_weight"), bias)
            return parent if parent and leaf == "weight" else None
        others = {value.target.rpartition(".")[0] for value in sources.values() if value is not None}
        if others or (layer.tensors and not layer.bare):
            return others.pop() or None if len(others) == 1 else None
        stack = node.meta.get("nn_module_stack")
        if not stack:
            return None
        path, kind = list(stack.values())[-1]
        if path and str(kind).rpartition(".")[2].removesuffix("'>") in layer.kinds:
            return str(path)
        stem = f"{path}.{layer.kinds[0].lower()}" if path else layer.kinds[0].lower()
        return next(name for index in range(1 << 20) if (name := f"{stem}{index or ''}") not in self.made)

    def _named_so(self, parent: str, name: str, bias: fx.Node | None) -> str | None:
        """A layer of its own for ``in_proj_weight`` and ``in_proj_bias``, as ``in_proj``, unless something has that
        name."""
        path = f"{parent}.{name}".removeprefix(".")
        own = bias is None or bias.target == f"{path}_bias"
        return path if own and not any(f"{known}.".startswith(f"{path}.") for known in self.names) else None

    def _make(self, path: str, layer: Layer, args: dict[str, Any], sources: dict[str, Any]) -> bool:
        """Make the module unless the same one is there; False when the path belongs to another."""
        names = {name: value.target for name, value in sources.items() if value is not None}
        made_by = (layer, tuple(sorted(names.items())), repr(args))
        if path in self.made:
            return self.built_by[path] == made_by
        tensors = {name: fetch(self.source, target) for name, target in names.items()}
        module = layer.build(args, tensors)
        for name, tensor in tensors.items():
            replace(module, name, tensor)
        self._count_on(module, names.get("running_mean"))
        self.made[path], self.built_by[path] = module, made_by
        return True

    def _count_on(self, module: nn.Module, beside: str | None) -> None:
        """How many batches a batch norm has seen. No operator reads it, and a file that is read and written again
        keeps it."""
        place = "" if beside is None else f"{beside.rpartition('.')[0]}.num_batches_tracked".removeprefix(".")
        seen = dict(self.source.named_buffers()).get(place) if hasattr(module, "num_batches_tracked") else None
        if seen is not None and seen.ndim == 0:
            module.num_batches_tracked = seen.detach().clone().to(torch.int64)

    def _recurrent(self, node: fx.Node) -> fx.Node:
        args = bind(node)
        path, module = recurrent(node, args, self.source)
        self.made.setdefault(path, module)
        states = args["hx"]
        given = tuple(self.env[state] for state in states) if isinstance(states, list | tuple) else self.env[states]
        return self.graph.call_module(path, (self.env[args["input"]], given))

    def _state(self, node: fx.Node) -> fx.Node:
        """One of a recurrent layer's results: the module puts the states of an LSTM into a tuple of their own."""
        source, index = node.args
        call = self.env[source]  # type: ignore[index]
        if source.target is not aten.lstm.input or index == 0:  # type: ignore[union-attr]
            return self.graph.call_function(getitem, (call, index))
        states = self.graph.call_function(getitem, (call, 1))
        return self.graph.call_function(getitem, (states, index - 1))  # type: ignore[operator]


def _channels(data: fx.Node) -> int | None:
    shape = data.meta["val"].shape
    return shape[1] if len(shape) > 1 and isinstance(shape[1], int) else None


def _counts_batches(node: fx.Node) -> bool:
    """The ``num_batches_tracked += 1`` of a batch norm exported in train mode; the module does that itself."""
    return node.op == "call_function" and node.target is aten.add_.Tensor and "num_batches_tracked" in str(node.args[0])


def _is_constant_input(node: fx.Node) -> bool:
    """An argument that was no tensor at export: its value is part of the graph."""
    return node.op == "placeholder" and not node.users and not isinstance(node.meta.get("val"), torch.Tensor)


def _leaves(args: Any) -> Iterable[fx.Node]:
    if isinstance(args, fx.Node):
        yield args
    elif isinstance(args, list | tuple):
        for arg in args:
            yield from _leaves(arg)
