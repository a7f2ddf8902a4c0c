"""Outputs of a module as plain containers: a file that needs no class to be read holds nothing else."""

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

from pith.errors import PithError


@contextmanager
def plain_outputs(torch: Any, model: Any) -> Iterator[None]:
    """The module returns a tensor, or tensors in tuples and dicts; what is None is left out.

    Raises:
        PithError: ``export_refused`` while the module runs, for outputs that are no tensors.
    """
    forward, own = model.forward, "forward" in vars(model)

    @functools.wraps(forward)
    def plain(*args: Any, **kwargs: Any) -> Any:
        return _plain(torch, forward(*args, **kwargs), "")

    model.forward = plain
    try:
        yield
    finally:
        if own:
            model.forward = forward
        else:
            del model.forward


def _plain(torch: Any, value: Any, name: str) -> Any:
    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, Mapping):
        return _named(torch, value, name)
    if isinstance(value, list | tuple):
        pairs = ((f"{name}[{index}]" if name else str(index), each) for index, each in enumerate(value))
        return tuple(_plain(torch, each, inner) for inner, each in pairs if each is not None)
    if is_dataclass(value) and not isinstance(value, type):
        return _named(torch, {field.name: getattr(value, field.name) for field in fields(value)}, name)
    kind = type(value).__name__
    raise PithError(
        "export_refused",
        reason=f"the output{f' {name}' if name else ''} is no tensor but {'nothing' if value is None else f'a {kind}'}",
        way_out="return tensors alone (for transformers: model.config.use_cache = False)",
    )


def _named(torch: Any, values: Mapping[Any, Any], name: str) -> Any:
    there = {str(key): each for key, each in values.items() if each is not None}
    return {key: _plain(torch, each, f"{name}.{key}".strip(".")) for key, each in there.items()}
