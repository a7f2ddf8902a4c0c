"""What of a model learns in which epoch: by layers, and by blocks from the output backwards."""

from collections.abc import Callable, Iterable, Set

from torch import nn

from engine.context import Context
from engine.model import WEIGHTED, Model
from engine.selected import refuse_unmatched
from pith.freezing import in_blocks
from pith.patterns import named_by

Rate = Callable[[str, int], float]


def owner(parameter: str) -> str:
    """The layer that holds a parameter; the parameter's own name where the model itself does."""
    return parameter.rpartition(".")[0] or parameter


def owners(model: Model) -> list[str]:
    """Every holder of parameters, in the order in which the graph runs them; a free tensor stands where it is used."""
    names = dict.fromkeys(owner(name) for name, _ in model.graph.named_parameters())
    run = list[str]()
    for node in model.graph.graph.nodes:
        read = [str(each.target) for each in node.all_input_nodes if each.op == "get_attr"]
        run += [owner(target) for target in read]
        run += [str(node.target)] if node.op == "call_module" else []
    return [*dict.fromkeys(name for name in run if name in names)]


def blocks(model: Model) -> list[list[str]]:
    """The holders of parameters in blocks, in the order in which the graph runs them."""
    opening = [name for name, module in model.graph.named_modules() if isinstance(module, (*WEIGHTED, nn.Embedding))]
    return in_blocks(owners(model), opening)


def rate_after(first: Set[str], epochs: int, then: Iterable[str]) -> Rate:
    """The layers ``first`` learn from the start, those of ``then`` when so many epochs are over."""
    later = frozenset(then)
    return lambda name, epoch: float(owner(name) in first or (epoch >= epochs and owner(name) in later))


def named(model: Model, patterns: tuple[str, ...], field: str, ctx: Context) -> set[str]:
    """The holders of parameters that the patterns of an option name.

    Raises:
        PithError: ``technique_inapplicable`` for a pattern that matches no layer.
    """
    layers = [name for name, module in model.graph.named_modules() if hasattr(module, "weight") and name]
    refuse_unmatched(patterns, layers, field, ctx)
    return set(named_by(patterns, owners(model)))
