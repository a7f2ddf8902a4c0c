"""A float graph and its rounded copy run side by side, operator by operator, over calibration data held in memory."""

from collections.abc import Callable
from math import prod

import numpy as np
import torch
from torch import Tensor, fx

from engine.context import Context
from engine.model import Model
from engine.randomness import generator
from engine.session import cast
from engine.shapes import shapes_of

# 4 GB of float32.
_MOST_NUMBERS = 1_000_000_000
Visit = Callable[[str, Tensor, Tensor], None]


def walk(graph: fx.GraphModule, rounded: fx.GraphModule, inputs: tuple[Tensor, ...], visit: Visit) -> None:
    """Call ``visit(name, float input, rounded input)`` before each layer that is called first; it may change the layer
    of ``rounded``, which then runs as it left it. Values are dropped after their last use."""
    sides = [fx.Interpreter(graph), fx.Interpreter(rounded)]
    for side in sides:
        side.args_iter = iter(inputs)
    seen: set[str] = set()
    with torch.no_grad():
        for nodes in zip(graph.graph.nodes, rounded.graph.nodes, strict=True):
            first = nodes[0]
            if first.op == "output":
                return
            if first.op == "call_module" and str(first.target) not in seen:
                seen.add(str(first.target))
                given = [side.env[node.args[0]] for side, node in zip(sides, nodes, strict=True)]
                visit(str(first.target), *given)
            for side, node in zip(sides, nodes, strict=True):
                side.env[node] = side.run_node(node)
                for done in side.user_to_last_uses.get(node, []):
                    del side.env[done]


def calibration(model: Model, samples: int, ctx: Context) -> tuple[Tensor, ...]:
    """Inputs of a random part of the training split, in the model's dtypes; fewer where the values that are alive at
    once in two graphs would not fit."""
    split = ctx.training_data(labels=False)
    fitting = max(1, _MOST_NUMBERS // (2 * live_numbers(model)))
    if fitting < min(samples, len(split)):
        ctx.note(f"{fitting} calibration samples were used, not {samples}: more values would not fit into memory.")
    order = torch.randperm(len(split), generator=generator(ctx.spec.seed, ctx.step)).numpy()
    rows = np.sort(order[: min(samples, fitting)])
    arrays = cast(split.x, rows, [spec.numpy_dtype for spec in model.signature.inputs])
    return tuple(map(torch.from_numpy, arrays))


def live_numbers(model: Model) -> int:
    """The most numbers that are alive at once while the graph runs one sample."""
    shapes, uses = shapes_of(model, 2), fx.Interpreter(model.graph).user_to_last_uses
    alive, most = 0, 1
    for node, shape in shapes.items():
        alive += _numbers(shape) // 2
        most = max(most, alive)
        alive -= sum(_numbers(shapes.get(done)) // 2 for done in uses.get(node, []))
    return most


def _numbers(shape: object) -> int:
    if isinstance(shape, tuple):
        return prod(shape)
    return sum(map(_numbers, shape)) if isinstance(shape, list) else 0
