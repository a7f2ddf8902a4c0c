"""A second head beside the one that makes the first output: it reads the same features, and its scores come first."""

from dataclasses import replace

import torch
from torch import fx, nn

from engine.head import fresh_layer, output_layers
from engine.model import Model
from engine.signature import as_tuple
from pith.errors import PithError
from pith.rehead import NO_HEAD, free_name


def with_second_head(model: Model, classes: int, seed: int) -> Model:
    """A model with ``classes`` scores as its first output and the old first output as its last, called ``old``; the
    one that is given stays as it is.

    Raises:
        PithError: ``head_not_found`` when the first output is not made by linear layers or convolutions alone.
    """
    model = model.copy()
    old = sorted(output_layers(model.graph))
    if not old:
        raise PithError("head_not_found", reason=NO_HEAD)
    torch.manual_seed(seed)
    names = _add(model.graph, old, classes)
    _branch(model.graph, names)
    first, *others = model.signature.outputs
    shape, example = ((classes if at == 1 else size for at, size in enumerate(s)) for s in (first.shape, first.example))
    taken = [spec.name for spec in (*model.signature.inputs, *model.signature.outputs)]
    last = replace(first, name=free_name("old", taken))
    fresh = replace(first, shape=tuple(shape), example=tuple(example))  # type: ignore[arg-type]
    signature = replace(model.signature, outputs=(fresh, *others, last))
    model = replace(model, signature=signature)
    _check_runs(model, classes, old)
    return model


def _add(graph: fx.GraphModule, old: list[str], classes: int) -> dict[str, str]:
    """Fresh layers beside these; their names by the old ones'."""
    names: dict[str, str] = {}
    for name in old:
        names[name] = free_name(f"{name}_new", [path for path, _ in graph.named_modules()])
        graph.add_submodule(names[name], fresh_layer(graph.get_submodule(name), classes))
    return names


def _branch(graph: fx.GraphModule, names: dict[str, str]) -> None:
    """Repeat all that stands between the old layers and the first output, for the new ones."""
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    given = output.args[0]
    first, *others = given if isinstance(given, tuple | list) else (given,)
    needed, copied = _before(first), dict[fx.Node, fx.Node]()
    for node in list(graph.graph.nodes):
        head = node.op == "call_module" and str(node.target) in names
        if node in needed and (head or any(each in copied for each in node.all_input_nodes)):
            with graph.graph.inserting_before(output):
                twin = graph.graph.node_copy(node, lambda each: copied.get(each, each))
            twin.meta = {key: value for key, value in twin.meta.items() if key != "nn_module_stack"}
            twin.target = names[str(node.target)] if head else node.target
            copied[node] = twin
    output.args = ((copied[first], *others, first),)
    graph.graph.lint()
    graph.recompile()


def _before(last: fx.Node) -> set[fx.Node]:
    found, waiting = set[fx.Node](), [last]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(node.all_input_nodes)
    return found


def _check_runs(model: Model, classes: int, old: list[str]) -> None:
    try:
        with torch.no_grad():
            first = as_tuple(model.at_rest()(*model.signature.tensors(2)))[0]
        fits = first.ndim > 1 and first.shape[1] == classes
    except (RuntimeError, ValueError, IndexError):
        fits = False
    if not fits:
        reason = f"the model does not run with {classes} outputs beside {', '.join(old)}"
        raise PithError("head_not_found", reason=reason)


class Still(nn.Module):
    """A graph that stays in eval mode and learns nothing, whatever it is put into."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.graph = graph.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "Still":
        return self
