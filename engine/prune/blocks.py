"""The blocks of a model that can be taken out whole, and a model without some of them.

A block reads one tensor and gives one of the same shape; without it, whoever read the second reads the first. It is
residual when what it reads reaches what it gives through sums, norms and functions of single numbers alone. Of blocks
inside one another those count that have a sibling like themselves: ``layer1.0`` and not ``layer1``, a T5's ``block.1``
and not its attention. Sums that no module holds (``x + attend(x)`` in the model's own forward) are blocks as well.
Where nothing is residual, layers with as many outputs as inputs are. Not covered: blocks that give several tensors.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import fx

from engine.model import Model
from engine.prune.residual import Found, Wiring, plain, residual_modules, residual_sums
from pith.students import kept_evenly


@dataclass(frozen=True)
class Block:
    """``entry`` and ``exit`` name the nodes that give what it reads and what it gives; ``shape`` is of both, None where
    a size is dynamic. ``layers`` go with it, and so many ``parameters``, those of its norms among them."""

    name: str
    entry: str
    exit: str
    shape: tuple[int | None, ...]
    layers: tuple[str, ...]
    parameters: int
    residual: bool


def blocks(model: Model) -> tuple[Block, ...]:
    """In the order in which they end. The model is run twice for it and stays as it is."""
    wiring = Wiring(model)
    whole = _with_siblings(wiring, list(residual_modules(wiring)))
    inside = {node for found in whole for node in found.nodes}
    found = whole + [each for each in residual_sums(wiring) if not inside & each.nodes]
    found = found or list(plain(wiring))
    return tuple(_block(wiring, each) for each in sorted(found, key=lambda each: wiring.place[each.exit]))


def without(model: Model, gone: Iterable[Block]) -> Model:
    """The model without these blocks, its graph changed in place; what they alone used goes with them."""
    graph = model.graph
    nodes = {node.name: node for node in graph.graph.nodes}
    unread = {node for node in graph.graph.nodes if not node.users}
    for block in gone:
        nodes[block.exit].replace_all_uses_with(nodes[block.entry])
        nodes[block.exit] = nodes[block.entry]
    graph.graph.eliminate_dead_code(lambda node: node in unread or node.op == "placeholder")
    graph.graph.lint()
    graph.recompile()
    graph.delete_all_unused_submodules()
    _forget_tensors(graph)
    return model


def evenly(found: Sequence[Block], depth: float) -> tuple[Block, ...]:
    """The blocks that go so that a fraction ``depth`` of them, at least one, stays, spread from the first to the last:
    of twelve a half is 0, 2, 4, 7, 9 and 11, as for DistilBERT (Sanh et al. 2019, arXiv 1910.01108)."""
    kept = kept_evenly(len(found), depth)
    return tuple(block for index, block in enumerate(found) if index not in kept)


def _forget_tensors(graph: fx.GraphModule) -> None:
    """Parameters of containers that no node reads any more."""
    read = {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    called = {str(node.target) for node in graph.graph.nodes if node.op == "call_module"}
    for path, module in graph.named_modules():
        for name in [*module._parameters, *module._buffers] if path not in called else []:
            if ".".join(filter(None, (path, name))) not in read:
                delattr(module, name)


def _with_siblings(wiring: Wiring, found: list[Found]) -> list[Found]:
    """Of modules inside one another, those whose own parts are no longer like one another."""
    kids = {each.name: _directly_inside(each.name, found) for each in found}
    chosen, waiting = [], _directly_inside("", found)
    while waiting:
        each = waiting.pop()
        inner = kids[each.name]
        kinds = [wiring.kind(kid) for kid in inner]
        if len(set(kinds)) < len(kinds) or any(wiring.weighted(kid) == wiring.weighted(each) for kid in inner):
            waiting += inner
        else:
            chosen.append(each)
    return chosen


def _directly_inside(name: str, found: list[Found]) -> list[Found]:
    below = [each for each in found if each.name != name and _inside(each.name, name)]
    return [each for each in below if not any(each is not other and _inside(each.name, other.name) for other in below)]


def _inside(name: str, outer: str) -> bool:
    return not outer or name.startswith(f"{outer}.")


def _block(wiring: Wiring, found: Found) -> Block:
    layers, parameters = wiring.lost(found)
    shape = wiring.shape(found.exit)
    return Block(found.name, found.entry.name, found.exit.name, shape, layers, parameters, found.residual)
