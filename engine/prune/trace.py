"""Follow the channels of a model through its graph: run it once for the shapes, then apply one rule to each node.

A node without a rule holds every channel that reaches it in place, and is named as the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import fx, nn

from engine.model import Model
from engine.prune.axes import Axes, Axis, Places, Value
from engine.prune.reshape import Parting
from engine.shapes import shapes_of

Result = Value | list[Value] | None


class NoRule(Exception):
    """Channels cannot be followed through this; what it says names the place, and they are left as they are."""


@dataclass(frozen=True)
class Attended:
    """Where attention mixes its values: ``node`` gives the result, ``heads`` are the places of its third dimension
    from the end, which is also the batch where a reshape has merged the two."""

    node: fx.Node
    heads: Axis
    shape: tuple[int, ...]


NodeParting = Callable[[Axes, fx.Node, list[int], Places, list[int]], list[Axis] | None]


class Trace:
    """What rules work with: the axes, the value of each node seen so far, and its shape.

    ``parting`` decides about channels that a reshape sets apart along several dimensions; without one they are held.
    """

    def __init__(self, model: Model, parting: NodeParting | None = None) -> None:
        self.axes = Axes()
        self.attended: list[Attended] = []
        self._parting = parting
        self.graph = model.graph
        self.modules: dict[str, nn.Module] = dict(model.graph.named_modules())
        self.shapes = shapes_of(model, 2)
        self.values: dict[fx.Node, Result] = {}

    def value(self, node: Any) -> Value:
        """The axes of a node that is one tensor."""
        found = self.values.get(node)
        if not isinstance(found, tuple):
            raise NoRule("no tensor")
        return found

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        found = self.shapes[node]
        if not isinstance(found, tuple):
            raise NoRule("no tensor")
        return found

    def parting(self, node: fx.Node) -> Parting | None:
        return None if self._parting is None else partial(self._parting, self.axes, node)

    def opaque(self, node: fx.Node) -> Result:
        """Nothing of this node's value may shrink."""
        found = self.shapes.get(node)
        if isinstance(found, tuple):
            return (None,) * len(found)
        if isinstance(found, list):
            return [(None,) * len(shape) if isinstance(shape, tuple) else () for shape in found]
        return None

    def hold(self, node: fx.Node, reason: str) -> Result:
        """Hold in place whatever reaches this node."""
        for source in node.all_input_nodes:
            found = self.values.get(source)
            for value in found if isinstance(found, list) else [found or ()]:
                for axis in value:
                    self.axes.pin(axis, reason)
        return self.opaque(node)


def place_of(node: fx.Node) -> str:
    """The dotted name of the module that a node came from, for a sentence."""
    stack = node.meta.get("nn_module_stack")
    path = list(stack.values())[-1][0] if stack else ""
    return str(path) or node.name


def write_argument(node: fx.Node, index: int, inner: int | None, number: int) -> None:
    """Set one argument of a call, or one place of an argument that is a list."""
    args = list(node.args)
    if inner is None:
        args[index] = number
    else:
        values = list(args[index])  # type: ignore[arg-type]
        values[inner] = number
        args[index] = values
    node.args = tuple(args)
