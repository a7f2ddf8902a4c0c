"""How a model's graph is wired: which modules and sums read one tensor and give one that it still runs through."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from operator import add, iadd
from typing import Any

import torch
from torch import fx, nn

from engine.head import output_layers
from engine.hints import paths_of
from engine.model import WEIGHTED, Model
from engine.shapes import shapes_of

aten: Any = torch.ops.aten
_SUMS = {aten.add.Tensor, aten.add_.Tensor, add, iadd}
# These keep the order of the numbers, so that a way through them back to the first shape has changed nothing.
_ORDERLY = {aten.view.default, aten.reshape.default, aten._unsafe_view.default, aten.flatten.using_ints}
_ORDERLY |= {aten.contiguous.default, aten.clone.default, aten.unflatten.int, aten.alias.default, aten.detach.default}
_ORDERLY |= {aten.to.dtype, aten.to.device, aten.to.dtype_layout, aten._to_copy.default, aten.dropout.default}
_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_PASSING = (*_NORMS, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.Dropout, nn.Dropout2d, nn.PReLU)


@dataclass(frozen=True)
class Found:
    """A part of the graph between two nodes; ``nodes`` are those of it."""

    name: str
    entry: fx.Node
    exit: fx.Node
    nodes: frozenset[fx.Node]
    residual: bool = True


class Wiring:
    """A model's nodes, their shapes for two and for three samples, and what they hold."""

    def __init__(self, model: Model) -> None:
        self.graph = model.graph
        self.modules = dict(model.graph.named_modules())
        self._few, self._more = shapes_of(model, 2), shapes_of(model, 3)
        self.nodes: list[fx.Node] = list(model.graph.graph.nodes)
        self.place = {node: index for index, node in enumerate(self.nodes)}
        self.outputs = output_layers(model.graph)

    def is_tensor(self, node: fx.Node) -> bool:
        return isinstance(self._few.get(node), tuple)

    def is_number(self, node: fx.Node) -> bool:
        """A size that the graph computes."""
        return isinstance(self._few.get(node), int | float)

    def shape(self, node: fx.Node) -> tuple[int | None, ...]:
        few, more = self._few[node], self._more[node]
        return tuple(one if one == other else None for one, other in zip(few, more, strict=True))

    def same_shape(self, one: fx.Node, other: fx.Node) -> bool:
        if not self.is_tensor(one) or not self.is_tensor(other):
            return False
        return bool(self._few[one] == self._few[other] and self._more[one] == self._more[other])

    def data(self, node: fx.Node) -> list[fx.Node]:
        """The tensors that a node reads, without the model's own."""
        return [source for source in node.all_input_nodes if source.op != "get_attr" and self.is_tensor(source)]

    def passes(self, node: fx.Node) -> bool:
        """Whether what a node reads is still what it gives, but for a norm or a function of single numbers."""
        if node.op == "call_module":
            return isinstance(self.modules[str(node.target)], _PASSING)
        if node.op != "call_function" or node.target in _SUMS | _ORDERLY:
            return node.op == "call_function"
        single = isinstance(node.target, torch._ops.OpOverload) and torch.Tag.pointwise in node.target.tags
        return single and len(self.data(node)) == 1

    def tensors(self, node: fx.Node) -> dict[int, torch.Tensor]:
        """What a node holds, by identity: the parameters of its module or itself."""
        if node.op == "get_attr":
            held = self.graph
            for step in str(node.target).split("."):
                held = getattr(held, step)
            return {id(held): held} if isinstance(held, nn.Parameter) else {}
        if node.op != "call_module":
            return {}
        return {id(each): each for each in self.modules[str(node.target)].parameters()}

    def weighted(self, found: Found) -> frozenset[fx.Node]:
        """The nodes of it that multiply by weights."""
        return frozenset(node for node in found.nodes if self._weighs(node))

    def _weighs(self, node: fx.Node) -> bool:
        sources = [node, *(source for source in node.all_input_nodes if source.op == "get_attr")]
        matrices = any(tensor.ndim > 1 for source in sources for tensor in self.tensors(source).values())
        return matrices and (node.op == "call_module" or node.target in _PRODUCTS)

    def kind(self, found: Found) -> tuple[tuple[str, str], ...]:
        """What tells siblings that are alike: the layers in it by the names that they have there."""
        start = len(found.name) + 1
        nodes = sorted(self.weighted(found), key=self.place.__getitem__)
        return tuple((self.name(node)[start:], str(node.target).rpartition(".")[2]) for node in nodes)

    def name(self, node: fx.Node) -> str:
        """The dotted name of the innermost module that a node came from."""
        return [*paths_of(node), ""][-2] if node.op == "call_module" else [*paths_of(node), node.name][-1]

    def lost(self, found: Found) -> tuple[tuple[str, ...], int]:
        """Layers and the number of parameters that only this part of the graph uses."""
        dead = {found.exit}
        for node in reversed(self.nodes[: self.place[found.exit]]):
            if node is not found.entry and node.op != "placeholder" and node.users and dead.issuperset(node.users):
                dead.add(node)
        living = {key for node in self.nodes if node not in dead for key in self.tensors(node)}
        gone = {key: each for node in dead for key, each in self.tensors(node).items() if key not in living}
        called = {str(node.target) for node in self.nodes if node not in dead}
        layers = [str(node.target) for node in self.nodes if node in dead and node.op == "call_module"]
        weighted = [name for name in layers if name not in called and isinstance(self.modules[name], WEIGHTED)]
        return tuple(dict.fromkeys(weighted)), sum(each.numel() for each in gone.values())


_PRODUCTS = {aten.linear.default, aten.matmul.default, aten.mm.default, aten.bmm.default, aten.addmm.default}
_PRODUCTS |= {aten.conv1d.default, aten.conv2d.default, aten.conv3d.default}


def residual_modules(wiring: Wiring) -> Iterator[Found]:
    """Modules that give one tensor, through which one that they read runs."""
    inside: dict[str, list[fx.Node]] = defaultdict(list)
    for node in wiring.nodes:
        for path in paths_of(node) if node.op in ("call_function", "call_module") else ():
            inside[path].append(node)
    for path, members in inside.items():
        nodes = frozenset(members)
        given = [node for node in members if not nodes.issuperset(node.users) and not wiring.is_number(node)]
        if len(given) == 1 and wiring.is_tensor(given[0]):
            entry = _running_through(wiring, given[0], nodes)
            found = entry and Found(path, entry, given[0], nodes)
            if found and wiring.weighted(found):
                yield found


def _running_through(wiring: Wiring, exit: fx.Node, nodes: frozenset[fx.Node]) -> fx.Node | None:
    """The node outside of ``nodes`` that ``exit`` goes back to without a layer, if there is one of its shape."""
    waiting, seen, sums = [exit], {exit}, False
    entries = []
    while waiting:
        node = waiting.pop()
        if node not in nodes:
            entries += [node] if wiring.same_shape(node, exit) else []
        elif wiring.passes(node):
            sums = sums or (node.target in _SUMS and len(wiring.data(node)) > 1)
            waiting += [source for source in wiring.data(node) if source not in seen]
            seen.update(waiting)
    return entries[0] if len(entries) == 1 and sums else None


def residual_sums(wiring: Wiring) -> Iterator[Found]:
    """Sums of a tensor and of what layers make of it, the innermost of them."""
    sums = [node for node in wiring.nodes if node.target in _SUMS and len(wiring.data(node)) == 2]
    found = [each for node in sums if (each := _summed(wiring, node))]
    exits = {each.exit for each in found}
    taken: set[str] = set()
    for each in found:
        if not exits & (each.nodes - {each.exit}) and each.name not in taken:
            taken.add(each.name)
            yield each


def _summed(wiring: Wiring, node: fx.Node) -> Found | None:
    one, other = wiring.data(node)
    for skip, branch in ((one, other), (other, one)):
        between = _between(wiring, skip, branch)
        found = Found("", skip, node, between | {node})
        weighted = sorted(wiring.weighted(found), key=wiring.place.__getitem__)
        if weighted and wiring.same_shape(skip, node):
            return Found(_common(wiring, weighted), skip, node, found.nodes)
    return None


def _between(wiring: Wiring, start: fx.Node, end: fx.Node) -> frozenset[fx.Node]:
    """The nodes on the ways from one to the other, the second one with them."""
    first = wiring.place[start]
    reached: dict[fx.Node, bool] = {start: True}
    for node in wiring.nodes[first + 1 : wiring.place[end] + 1]:
        reached[node] = any(reached.get(source, False) for source in node.all_input_nodes)
    if not reached.get(end, False):
        return frozenset()
    kept = {end}
    for node in reversed(wiring.nodes[first + 1 : wiring.place[end]]):
        if reached[node] and any(user in kept for user in node.users):
            kept.add(node)
    return frozenset(kept)


def _common(wiring: Wiring, weighted: list[fx.Node]) -> str:
    """The module that holds all of these layers, or the last of them when that is the whole model."""
    paths = [_own(wiring, node).split(".") for node in weighted]
    shared = takewhile(lambda steps: len(set(steps)) == 1, zip(*paths, strict=False))
    return ".".join(steps[0] for steps in shared) or ".".join(paths[-1])


def _own(wiring: Wiring, node: fx.Node) -> str:
    return str(node.target) if node.op == "call_module" else wiring.name(node)


def plain(wiring: Wiring) -> Iterator[Found]:
    """Layers with as many outputs as inputs, but those that make the model's output."""
    for node in wiring.nodes:
        if node.op != "call_module" or not isinstance(wiring.modules[str(node.target)], WEIGHTED):
            continue
        if str(node.target) not in wiring.outputs and wiring.same_shape(wiring.data(node)[0], node):
            yield Found(str(node.target), wiring.data(node)[0], node, frozenset({node}), residual=False)
