"""From a step's kind to the function that applies it: the kind is the module path."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from engine.context import Context
from engine.model import Model
from pith.recipe import step_classes

Apply = Callable[[Model, Any, Context], Model]


def technique(kind: str) -> Apply:
    """The ``apply`` of ``engine/<family>/<technique>.py``. Only kinds of the contract are ever imported.

    Raises:
        KeyError: the contract has no such kind.
    """
    step_classes()[kind]
    apply: Apply = import_module(f"engine.{kind}").apply
    return apply
