"""A program that was exported for one size of batch, traced again for any.

The batch is baked into the arguments of operators that change or make shapes: ``view(x, [4, -1])``, ``zeros([4, 16])``.
The graph is run with another batch; where it stumbles, a number that can be the batch is taken for it, and the search
goes on. What was guessed is proven: outputs equal at the original batch, and equal to those of the original program run
chunk by chunk at a larger one. Not covered: programs that really mix samples, or drop the dimension of a batch of one.
"""

import copy
import math
import operator
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import Dim, ExportedProgram
from torch.utils._pytree import tree_leaves, tree_map, tree_unflatten

from engine.lift.arguments import bind
from engine.lift.recurrent import RECURRENT
from pith.errors import PithError

aten: Any = torch.ops.aten

_TRIES = 64
_CHUNKS = 3
_ROUNDING = 2e-5
# For each operator, the argument that holds sizes.
_SIZES: dict[Any, str] = {
    aten.view.default: "size",
    aten.reshape.default: "shape",
    aten._unsafe_view.default: "size",
    aten.expand.default: "size",
    aten.repeat.default: "repeats",
    aten.zeros.default: "size",
    aten.ones.default: "size",
    aten.full.default: "size",
    aten.empty.memory_format: "size",
    aten.rand.default: "size",
    aten.randn.default: "size",
    aten.new_zeros.default: "size",
    aten.new_ones.default: "size",
    aten.new_full.default: "size",
    aten.new_empty.default: "size",
    aten.arange.default: "end",
}
_VIEWS = {aten.view.default, aten.reshape.default, aten._unsafe_view.default}
Choices = dict[str, int | None]


def with_dynamic_batch(program: ExportedProgram) -> ExportedProgram:
    """The program itself when its batch is dynamic, else one that computes the same for any batch.

    Raises:
        PithError: ``model_fixed_batch`` when no such program is found.
    """
    batch = _fixed_batch(program)
    if batch is None:
        return program
    source = program.module(check_guards=False)
    try:
        for choices in _search(source, program, batch):
            found = _traced(_rewritten(source, choices, batch), program, batch)
            if found is not None and _proven(source, found, program, batch):
                return found
    except (RuntimeError, ValueError, TypeError, AssertionError, IndexError, KeyError) as error:
        raise PithError("model_fixed_batch", batch=batch) from error
    raise PithError("model_fixed_batch", batch=batch)


def _fixed_batch(program: ExportedProgram) -> int | None:
    """The batch, if all inputs have one and the same fixed first dimension."""
    sizes = [value.shape[0] if value.ndim else None for value in _examples(program) if isinstance(value, Tensor)]
    first = sizes[0] if sizes else None
    return first if isinstance(first, int) and all(isinstance(size, int) and size == first for size in sizes) else None


def _examples(program: ExportedProgram) -> list[Any]:
    """What stands for each leaf of the inputs at export: a fake tensor, or the constant itself."""
    nodes = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    return [nodes.get(leaf) if isinstance(leaf, str) else leaf for leaf in program.graph_signature.user_inputs]


def _inputs(program: ExportedProgram, batch: int, times: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Reproducible inputs of ``times`` batches, as the program's caller would give them."""
    random = torch.Generator().manual_seed(0)
    leaves = [
        _noise(value, batch * times, random) if isinstance(value, Tensor) else value for value in _examples(program)
    ]
    args, kwargs = tree_unflatten(leaves, program.call_spec.in_spec)
    return tuple(args), dict(kwargs)


def _noise(value: Tensor, batch: int, random: torch.Generator) -> Tensor:
    size = (batch, *value.shape[1:])
    if value.dtype.is_floating_point:
        return torch.randn(size, generator=random).to(value.dtype)
    drawn = torch.randint(0, 2, size, generator=random)  # a token, a place in a mask: no two samples alike
    drawn.flatten(1)[:, :1] = 1
    return drawn.to(value.dtype)


def _search(source: fx.GraphModule, program: ExportedProgram, batch: int) -> Iterator[Choices]:
    """Ways to take numbers for the batch with which the graph runs at a larger one, likely ones first."""
    args, kwargs = _inputs(program, batch, _CHUNKS)
    choices: list[tuple[str, list[int | None]]] = []
    for _ in range(_TRIES):
        run = _Trial(source, batch, {name: options[0] for name, options in choices})
        done = run.passes(args, kwargs)
        choices += [(name, options) for name, options in run.met if name not in dict(choices)]
        if done:
            yield {name: options[0] for name, options in choices}
        while choices and len(choices[-1][1]) == 1:
            choices.pop()
        if not choices:
            return
        choices[-1][1].pop(0)


class _Trial(fx.Interpreter):
    """One run at a larger batch; ``met`` are the places at which there was something to choose."""

    def __init__(self, source: fx.GraphModule, batch: int, chosen: Choices) -> None:
        super().__init__(source)
        self.batch, self.chosen = batch, chosen
        self.met: list[tuple[str, list[int | None]]] = []

    def passes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        try:
            with torch.no_grad():
                results = self.run(*tree_leaves((args, kwargs)), enable_io_processing=False)
        except (RuntimeError, ValueError, TypeError, AssertionError, IndexError):
            return False
        return all(value.ndim and value.shape[0] == self.batch * _CHUNKS for value in tree_leaves(results))

    def run_node(self, n: fx.Node) -> Any:
        if n.target in RECURRENT:
            data, states = self.fetch_args_kwargs_from_env(n)[0][:2]
            _check_states(data, states, bind(n)["batch_first"])
        name = _SIZES.get(n.target)
        sizes = bind(n)[name] if name else None
        options = _options(sizes, self.batch, n.target in _VIEWS)
        if options and n.target in _VIEWS:
            data = self.fetch_args_kwargs_from_env(n)[0][0]
            options = [
                place for place in options if _fits(data.numel(), _scaled(sizes, place, lambda size: size * _CHUNKS))
            ]
            if not options:
                raise ValueError("no way to take these sizes")
        if not options:
            return super().run_node(n)
        if n.name not in self.chosen:
            self.met.append((n.name, options))
        place = self.chosen.get(n.name, options[0])
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        index = list(bind(n)).index(str(name))
        scaled = _scaled(args[index], place, lambda size: size * _CHUNKS)
        return super().call_function(n.target, (*args[:index], scaled, *args[index + 1 :]), kwargs)


def _check_states(data: Tensor, states: Any, batch_first: bool) -> None:
    """Torch runs into foreign memory where the states of a recurrent layer have another batch than its input."""
    for state in tree_leaves(states):
        if state.shape[1] != data.shape[0 if batch_first else 1]:
            raise ValueError("states of another batch")


def _options(sizes: Any, batch: int, merges: bool) -> list[int | None]:
    """Places of an argument that may stand for the batch, likely ones first; last, that none does."""
    if isinstance(sizes, int):
        return [0, None] if sizes == batch and batch > 1 else []
    if not isinstance(sizes, list | tuple):
        return []
    places = [place for place, size in enumerate(sizes) if size == batch]
    if merges and sizes and isinstance(sizes[0], int) and sizes[0] > batch and sizes[0] % batch == 0:
        places.append(0)
    return [*sorted(places), None] if places else []


def _fits(count: int, sizes: Any) -> bool:
    """Whether so many elements have these sizes, one of which may be inferred."""
    numbers = [size for size in sizes if isinstance(size, int)]
    if len(numbers) < len(sizes):
        return True
    known = math.prod(size for size in numbers if size != -1)
    return known > 0 and (count % known == 0 if -1 in numbers else count == known)


def _scaled(sizes: Any, place: int | None, scale: Callable[[int], Any]) -> Any:
    if place is None:
        return sizes
    if isinstance(sizes, int):
        return scale(sizes)
    return [scale(size) if index == place else size for index, size in enumerate(sizes)]


def _rewritten(source: fx.GraphModule, choices: Choices, batch: int) -> fx.GraphModule:
    """The graph with those numbers replaced by the batch of its first input."""
    graph_module = copy.deepcopy(source)
    graph = graph_module.graph
    inputs = [node for node in graph.nodes if node.op == "placeholder" and isinstance(node.meta.get("val"), Tensor)]
    last = [node for node in graph.nodes if node.op == "placeholder"][-1]
    with graph.inserting_after(last):
        size = graph.call_function(aten.sym_size.int, (inputs[0], 0))
    for node in graph.nodes:
        if choices.get(node.name) is None:
            continue
        index = list(bind(node)).index(_SIZES[node.target])
        with graph.inserting_before(node):
            sizes = _scaled(node.args[index], choices[node.name], lambda number: _times(graph, size, number // batch))
        node.update_arg(index, sizes)
    graph_module.recompile()
    return graph_module


def _times(graph: fx.Graph, size: fx.Node, factor: int) -> fx.Node:
    return size if factor == 1 else graph.call_function(operator.mul, (size, factor))


def _traced(rewritten: fx.GraphModule, program: ExportedProgram, batch: int) -> ExportedProgram | None:
    """The rewritten graph as a program whose batch is dynamic; None when torch finds it is not."""
    args, kwargs = _inputs(program, max(batch, 2), 1)
    shapes = [{0: Dim.AUTO} if isinstance(value, Tensor) else None for value in tree_leaves((args, kwargs))]
    by_position, by_name = tree_unflatten(shapes, program.call_spec.in_spec)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.export.export(rewritten, args, kwargs, dynamic_shapes=(*by_position, *by_name.values()))
    except (RuntimeError, ValueError, TypeError, AssertionError):
        return None
    return found if _fixed_batch(found) is None else None


def _proven(source: fx.GraphModule, found: ExportedProgram, program: ExportedProgram, batch: int) -> bool:
    """Equal at the batch of the export, and chunk by chunk at a larger one (apart from rounding)."""
    module = found.module(check_guards=False)
    once, several = _inputs(program, batch, 1), _inputs(program, batch, _CHUNKS)
    try:
        with torch.no_grad():
            same = all(map(torch.equal, _leaves(source, once), _leaves(module, once)))
            whole = _leaves(module, several)
            chunks = [slice(start, start + batch) for start in range(0, batch * _CHUNKS, batch)]
            parts = [_leaves(source, _cut(several, rows)) for rows in chunks]
    except (RuntimeError, ValueError, TypeError, AssertionError, IndexError):
        return False
    return same and all(
        _close(value, torch.cat(cut)) for value, cut in zip(whole, zip(*parts, strict=True), strict=True)
    )


def _leaves(module: Callable[..., Any], given: tuple[tuple[Any, ...], dict[str, Any]]) -> list[Tensor]:
    return tree_leaves(module(*given[0], **given[1]))


def _cut(given: tuple[tuple[Any, ...], dict[str, Any]], rows: slice) -> tuple[tuple[Any, ...], dict[str, Any]]:
    args, kwargs = tree_map(lambda value: value[rows] if isinstance(value, Tensor) else value, given)
    return args, kwargs


def _close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    return bool((one.double() - other.double()).abs().max() <= _ROUNDING * other.double().abs().max().clamp(min=1e-6))
