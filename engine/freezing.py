"""What of a model learns in which epoch: by layers, and by blocks from the output backwards."""

from collections.abc import Callable, Iterable, Set

from torch import nn

from engine.model import WEIGHTED, Model
from pith.freezing import in_blocks

Rate = Callable[[str, int], float]


def owner(parameter: str) -> str:
    """The layer that holds a parameter; the parameter's own name where the model itself does."""
    return parameter.rpartition(".")[0] or parameter


def owners(model: Model) -> list[str]:
    """Every holder of parameters, in the order in which the graph runs them."""
    names = dict.fromkeys(owner(name) for name, _ in model.graph.named_parameters())
    run = [owner(str(node.target)) if node.op == "get_attr" else str(node.target) for node in model.graph.graph.nodes]
    return [*dict.fromkeys(name for name in run if name in names)]


def blocks(model: Model) -> list[list[str]]:
    """The holders of parameters in blocks, in the order in which the graph runs them."""
    opening = [name for name, module in model.graph.named_modules() if isinstance(module, (*WEIGHTED, nn.Embedding))]
    return in_blocks(owners(model), opening)


def rate_after(first: Set[str], epochs: int, then: Iterable[str]) -> Rate:
    """The layers ``first`` learn from the start, those of ``then`` when so many epochs are over."""
    later = frozenset(then)
    return lambda name, epoch: float(owner(name) in first or (epoch >= epochs and owner(name) in later))
