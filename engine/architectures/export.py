"""From a built module to an exported program with a dynamic batch, checked against the module itself."""

from typing import Any

import torch
from torch.export import Dim, ExportedProgram

from engine.architectures.built import Built
from engine.quiet import quiet
from pith.errors import PithError

_FORMAT = "a graph with a dynamic batch"
_MOST_DIFFERENCE = 1e-4


def program(built: Built) -> ExportedProgram:
    """The program; its batch is dynamic, and so are a text's lengths where the module allows it.

    Raises:
        PithError: ``export_failed``: it cannot be traced, ties itself to a batch size, or gives other numbers.
    """
    with quiet(), torch.no_grad():
        exported = _exported(built)
        difference = _difference(built, exported)
    if difference > _MOST_DIFFERENCE:
        raise PithError("export_failed", format=_FORMAT, reason=f"its outputs differ by {difference:.3g}")
    return exported


def _exported(built: Built) -> ExportedProgram:
    batch = Dim("batch")
    free = built.free or ((),) * len(built.inputs)
    shapes = tuple({0: batch, **dict.fromkeys(dimensions, Dim.AUTO)} for dimensions in free)
    try:
        return torch.export.export(built.module, built.inputs, dynamic_shapes=shapes)
    except Exception as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise PithError("export_failed", format=_FORMAT, reason=f"{type(error).__name__}: {reason}") from error


def _difference(built: Built, exported: ExportedProgram) -> float:
    """The largest difference between the outputs of both, with three samples where the example had two."""
    inputs = tuple(torch.cat([one, one[:1]]) for one in built.inputs)
    wanted, got = built.module(*inputs), exported.module()(*inputs)
    pairs = zip(_tensors(wanted), _tensors(got), strict=True)
    return max((float((a.double() - b.double()).abs().max()) for a, b in pairs if a.numel()), default=0.0)


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = tuple(value.values())
    return [tensor for one in value for tensor in _tensors(one)] if isinstance(value, (tuple, list)) else []
