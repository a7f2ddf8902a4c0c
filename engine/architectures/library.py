"""What each ``from_<library>`` module offers, and the way to it: its heavy import happens when it is asked for."""

from importlib import import_module
from typing import Any, Final, NamedTuple, Protocol, cast

import torch
from torch import nn

from pith.dataset import Preprocessing
from pith.task import Task

LIBRARIES: Final = ("pith", "timm", "torchvision", "transformers")


class Use(NamedTuple):
    """How a module is called, and what its library says about that; as in ``Built``."""

    inputs: tuple[torch.Tensor, ...]
    input_names: tuple[str, ...]
    task: Task | None = None
    preprocessing: Preprocessing | None = None
    free: tuple[tuple[int, ...], ...] = ()


class Library(Protocol):
    """A module that knows one library. ``shape`` is of one sample, where the caller gave it."""

    def names(self) -> list[str]: ...
    def make(self, name: str, arguments: dict[str, Any], shape: tuple[int, ...] | None) -> nn.Module: ...
    def accepted(self, name: str) -> list[str]: ...
    def use(self, name: str, module: nn.Module, arguments: dict[str, Any], shape: tuple[int, ...] | None) -> Use: ...


def library(name: str) -> Library:
    """The module of a library of the list.

    Raises:
        KeyError: it is none.
    """
    if name not in LIBRARIES:
        raise KeyError(name)
    return cast(Library, import_module(f"engine.architectures.from_{name}"))


def noise(*shape: int) -> torch.Tensor:
    """The same two samples every time."""
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
