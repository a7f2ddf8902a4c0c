"""Which parameters learn how fast in which epoch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

Rate = Callable[[str, int], float]


@dataclass(frozen=True)
class Groups:
    """Parameters that share a factor in every epoch, one list for each of ``factors``.

    ``frozen`` are modules of which nothing learns, by epoch; the statistics of their norms stay too.
    """

    parameters: tuple[list[nn.Parameter], ...]
    factors: tuple[tuple[float, ...], ...]
    modules: tuple[tuple[nn.Module, ...], ...]

    def freeze(self, epoch: int) -> None:
        """Before an epoch, in training mode: gradients for what learns in it, eval mode for what does not."""
        for parameters, factors in zip(self.parameters, self.factors, strict=True):
            for parameter in parameters:
                parameter.requires_grad_(factors[epoch] > 0)
        for module in self.modules[epoch]:
            module.eval()


def groups_of(graph: nn.Module, helpers: nn.Module, rate: Rate | None, epochs: int) -> Groups:
    """The parameters that ask for gradients: the model's by their rates, the helpers' at the full rate.

    They are sorted by name, as a graph that is lifted again from a checkpoint may have its modules in another order.
    """
    found: dict[tuple[float, ...], list[nn.Parameter]] = {}
    full = (1.0,) * epochs
    for name, parameter in sorted(graph.named_parameters()):
        if parameter.requires_grad:
            factors = full if rate is None else tuple(rate(name, epoch) for epoch in range(epochs))
            found.setdefault(factors, []).append(parameter)
    for parameter in helpers.parameters():
        if parameter.requires_grad:
            found.setdefault(full, []).append(parameter)
    modules = tuple(_frozen(graph, rate, epoch) if rate else () for epoch in range(epochs))
    return Groups(tuple(found.values()), tuple(found), modules)


def set_rates(optimizer: torch.optim.Optimizer, groups: Groups, rate: float, epoch: int) -> None:
    for group, factors in zip(optimizer.param_groups, groups.factors, strict=True):
        group["lr"] = rate * factors[epoch]


def _frozen(graph: nn.Module, rate: Rate, epoch: int) -> tuple[nn.Module, ...]:
    """Modules with parameters of their own, none of which learns."""
    found = []
    for path, module in graph.named_modules():
        own = [f"{path}.{name}" if path else name for name, _ in module.named_parameters(recurse=False)]
        if path and own and not any(rate(name, epoch) for name in own):
            found.append(module)
    return tuple(found)
