"""Where features can be tapped: every block of the model by its dotted name, with the node that ends it.

A node carries the stack of modules that it came from, so a block ends at its last node. Not covered: the tapping.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import fx

from engine.model import Model
from engine.shapes import shapes_of


@dataclass(frozen=True)
class Hint:
    """``node`` names the graph's node that gives the features; ``shape`` holds None where a size is dynamic."""

    name: str
    node: str
    shape: tuple[int | None, ...]


def hints(model: Model) -> tuple[Hint, ...]:
    """Every module whose result is one tensor, in the order in which they finish. The model is run twice for it."""
    few, more = shapes_of(model, 2), shapes_of(model, 3)
    ends: dict[str, fx.Node] = {}
    for node in model.graph.graph.nodes:
        if node.op in ("call_function", "call_module") and isinstance(few[node], tuple):
            for path in paths_of(node):
                ends.pop(path, None)
                ends[path] = node
    return tuple(Hint(path, node.name, _dynamic(few[node], more[node])) for path, node in ends.items())


def paths_of(node: fx.Node) -> Iterator[str]:
    """The dotted names of the modules that a node is inside of, the outermost first; the whole model is not named.

    A module's second call has a number behind an ``@``, and is no place of its own.
    """
    stack = node.meta.get("nn_module_stack") or {}
    found = [str(path) for path, _ in stack.values()]
    if node.op == "call_module":
        found.append(str(node.target))
    return iter(dict.fromkeys(path for path in found if path and "@" not in path))


def _dynamic(few: tuple[int, ...], more: tuple[int, ...]) -> tuple[int | None, ...]:
    return tuple(one if one == other else None for one, other in zip(few, more, strict=True))
