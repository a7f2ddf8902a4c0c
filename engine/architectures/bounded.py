"""Count what a constructor makes, and stop it before there is too much."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from pith.errors import PithError

MOST_PARAMETERS = 1_000_000_000
MOST_MODULES = 20_000
MOST_TENSORS = 40_000


@contextmanager
def bounded(parameters: int = MOST_PARAMETERS, modules: int = MOST_MODULES) -> Iterator[None]:
    """Within it, registering one parameter or module too many raises.

    Weights are counted too: a constructor may make layers without end before it registers the first.

    Raises:
        PithError: ``model_too_large``.
    """
    counted = {"parameters": 0, "modules": 0, "tensors": 0}

    def count_parameter(_: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        counted["parameters"] += parameter.numel() if isinstance(parameter, torch.Tensor) else 0
        counted["tensors"] += 1
        _at_most("The number of parameters", counted["parameters"], parameters)
        _at_most("The number of weights", counted["tensors"], MOST_TENSORS)

    def count_module(_: nn.Module, name: str, module: nn.Module | None) -> None:
        counted["modules"] += 1
        _at_most("The number of layers", counted["modules"], modules)

    hooks = [
        register_module_parameter_registration_hook(count_parameter),
        register_module_module_registration_hook(count_module),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _at_most(what: str, value: int, limit: int) -> None:
    if value > limit:
        raise PithError("model_too_large", what=what, value=value, limit=limit)
