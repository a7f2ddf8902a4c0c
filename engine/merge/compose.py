"""Several graphs become one: each is copied in under a name of its own, fed by inputs or by other parts' outputs.

What two parts compute alike from the same values (same operators, same weights to the bit, as the frozen trunk of two
fine-tuned models) is computed and stored once, under the name of the first. Not covered: ONNX models, which have no
graph to copy.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from engine.lift.tree import fetch, install, install_tensor
from engine.model import Model
from engine.signature import Signature, TensorSpec

aten: Any = torch.ops.aten


class Composition:
    """A graph under construction. ``inputs`` are its input nodes, to be fed to the parts."""

    def __init__(self, inputs: Sequence[TensorSpec]) -> None:
        self.graph, self.root = fx.Graph(), nn.Module()
        self.specs = tuple(inputs)
        self.inputs = tuple(self.graph.placeholder(spec.name) for spec in self.specs)
        self._made: dict[Any, list[tuple[Any, fx.Node]]] = {}

    def add(self, name: str, model: Model, feeds: Sequence[fx.Node]) -> tuple[fx.Node, ...]:
        """Copy a model in, its modules under ``name.``; the nodes that are its outputs, in order."""
        return _Part(self, name, model.copy().at_rest(), feeds).copied()

    def finish(self, outputs: Sequence[fx.Node], specs: Sequence[TensorSpec]) -> Model:
        """The whole as a model; ``specs`` describe its outputs."""
        self.graph.output(outputs[0] if len(outputs) == 1 else tuple(outputs))
        self.graph.lint()
        graph = fx.GraphModule(self.root, self.graph, "Composed").eval()
        return Model(graph, Signature(self.specs, tuple(specs)))

    def known(self, key: Any, value: Any) -> fx.Node | None:
        """A node made before of an equal thing."""
        return next((node for other, node in self._made.get(key, []) if _same(value, other)), None)

    def remember(self, key: Any, value: Any, node: fx.Node) -> None:
        self._made.setdefault(key, []).append((value, node))


class _Part:
    """One model on its way into a composition; ``env`` maps its nodes to those of the whole."""

    def __init__(self, whole: Composition, name: str, source: fx.GraphModule, feeds: Sequence[fx.Node]) -> None:
        self.whole, self.name, self.source, self.feeds = whole, name, source, list(feeds)
        self.env: dict[fx.Node, fx.Node] = {}
        make_functional(source)
        self.alone = any(_mutates(node) for node in source.graph.nodes)

    def copied(self) -> tuple[fx.Node, ...]:
        if self.alone:  # what it writes in place, no other part may see
            self.feeds = [self.whole.graph.call_function(aten.clone.default, (feed,)) for feed in self.feeds]
        waiting = iter(self.feeds)
        for node in self.source.graph.nodes:
            if node.op == "placeholder":
                self.env[node] = next(waiting)
            elif node.op == "output":
                given = node.args[0]
                return tuple(self.env[leaf] for leaf in (given if isinstance(given, tuple | list) else (given,)))
            else:
                self.env[node] = self._copied(node)
        raise AssertionError("a graph without an output")

    def _copied(self, node: fx.Node) -> fx.Node:
        value = self._value(node)
        key = None if self.alone or _random(node) else self._key(node, value)
        found = self.whole.known(key, value) if key is not None else None
        if found is not None:
            return found
        new = self.whole.graph.node_copy(node, self.env.__getitem__)
        new.meta = {"nn_module_stack": self._stack(node)} if "nn_module_stack" in node.meta else {}
        if node.op in ("call_module", "get_attr"):
            new.target = f"{self.name}.{node.target}"
        if isinstance(value, nn.Module):
            install(self.whole.root, str(new.target), value)
        elif value is not None:
            install_tensor(self.whole.root, str(new.target), value)
        if key is not None:
            self.whole.remember(key, value, new)
        return new

    def _value(self, node: fx.Node) -> nn.Module | Tensor | None:
        if node.op == "call_module":
            return self.source.get_submodule(str(node.target))
        return fetch(self.source, str(node.target)) if node.op == "get_attr" else None

    def _key(self, node: fx.Node, value: nn.Module | Tensor | None) -> str:
        """The same text for nodes that do the same with the same nodes, their weights aside."""
        target = repr(value) if isinstance(value, nn.Module) else "" if node.op == "get_attr" else str(node.target)
        args = fx.map_arg((node.args, node.kwargs), lambda source: self.env[source])
        return repr((node.op, target, args))

    def _stack(self, node: fx.Node) -> dict[str, tuple[str, Any]]:
        """The modules that the node came from, all of them inside of this part."""
        found = node.meta["nn_module_stack"].items()
        return {
            f"{self.name}.{key}": (f"{self.name}.{path}" if path else self.name, kind) for key, (path, kind) in found
        }


def make_functional(graph: fx.GraphModule) -> None:
    """Replace operators that write in place by those that do not, where nothing can tell the difference."""
    for node in graph.graph.nodes:
        if _mutates(node) and (twin := _twin(node.target)) is not None and _unseen(graph, node.args[0]):
            node.target = twin
    graph.recompile()


def _twin(target: torch._ops.OpOverload) -> torch._ops.OpOverload | None:
    name, _, overload = target._schema.name.removeprefix("aten::"), None, target._overloadname
    found = getattr(getattr(aten, name.rstrip("_"), None), overload, None) if name.endswith("_") else None
    return found if found is not None and len(found._schema.arguments) == len(target._schema.arguments) else None


def _unseen(graph: fx.GraphModule, value: Any) -> bool:
    """Whether a value is a tensor of its own that is read only once."""
    if not isinstance(value, fx.Node) or len(value.users) != 1:
        return False
    if value.op == "call_module":
        return not isinstance(graph.get_submodule(str(value.target)), nn.Dropout | nn.Dropout2d | nn.Identity)
    returns = value.target._schema.returns if isinstance(value.target, torch._ops.OpOverload) else ()
    return bool(returns) and all(each.alias_info is None for each in returns)


def _mutates(node: fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _random(node: fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and torch.Tag.nondeterministic_seeded in node.target.tags


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and type(one) is type(other) and equal(one, other)
    if isinstance(one, nn.Module):
        mine, theirs = one.state_dict(), other.state_dict()
        return mine.keys() == theirs.keys() and all(equal(mine[name], theirs[name]) for name in mine)
    return True


def equal(one: Tensor, other: Tensor) -> bool:
    """Bit by bit the same kind of tensor; NaN equals nothing."""
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
