"""Put tensors into a module: every name and shape compared first, nothing loaded in part."""

from collections.abc import Iterable, Mapping
from typing import Final

import torch
from torch import nn

from engine.weights.compare import Mismatch, compare
from engine.weights.state_dict import without_prefixes
from engine.weights.suggest import read_off, suggest
from pith.errors import FieldProblem, PithError

_MOST_LISTED: Final = 20


def fit(module: nn.Module, tensors: Mapping[str, torch.Tensor], architecture: str) -> tuple[str, ...]:
    """Load the tensors into the module; says in sentences what was done to them on the way.

    Batch norm's counters are optional, tied weights need to be there once, half and double precision become float32.

    Raises:
        PithError: ``weights_mismatch``, with every difference (20 of each kind) in ``errors``.
    """
    wanted = module.state_dict(keep_vars=True)
    prefix, named = min(without_prefixes(tensors), key=lambda one: compare(wanted, one[1]).differences())
    difference = compare(wanted, named)
    if difference.differences():
        raise mismatch(difference, architecture, _way_out(tensors, architecture, difference))
    kept = {name: _as(wanted[name], tensor) for name, tensor in named.items() if name in wanted}
    module.load_state_dict({**_absent(wanted, kept), **kept}, strict=True)
    return (*_prefix_note(prefix), *precision_notes(named.values()))


def mismatch(difference: Mismatch, architecture: str, way_out: str) -> PithError:
    """The error that says what differs."""
    counts = [(len(difference.missing), "missing"), (len(difference.unexpected), "unexpected")]
    counts.append((len(difference.shapes), "of another shape"))
    summary = ", ".join(f"{count} {what}" for count, what in counts if count)
    return PithError(
        "weights_mismatch",
        errors=tuple(_problems(difference)),
        architecture=architecture,
        summary=summary,
        way_out=way_out,
    )


def _way_out(tensors: Mapping[str, torch.Tensor], architecture: str, difference: Mismatch) -> str:
    """``difference`` is from the architecture as it was asked for, so it shows which of its arguments to change."""
    found = suggest(tensors, first=architecture)
    if found is not None and found.name == architecture:
        found = found._replace(arguments={**read_off(architecture, difference), **found.arguments})
        if not found.arguments and found.exact:
            return f"{architecture} without arguments fits exactly"
    if found is None or (found.name == architecture and not found.arguments):
        return "name the architecture and the arguments that they were made with"
    return found.sentence()


def _problems(difference: Mismatch) -> list[FieldProblem]:
    found = [_problem(name, "missing", f"{name} is missing") for name in difference.missing[:_MOST_LISTED]]
    for name in difference.unexpected[:_MOST_LISTED]:
        found.append(_problem(name, "unexpected", f"{name} is not in the architecture"))
    for name, (given, wanted) in list(difference.shapes.items())[:_MOST_LISTED]:
        detail = f"{name} has the shape {list(given)} and should have {list(wanted)}"
        found.append(_problem(name, "wrong_shape", detail))
    return found


def _problem(name: str, code: str, detail: str) -> FieldProblem:
    return FieldProblem(pointer="/" + name.replace("~", "~0").replace("/", "~1"), code=code, detail=detail)


def _as(wanted: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    return given.detach().to(wanted.dtype)


def _absent(wanted: Mapping[str, torch.Tensor], kept: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What may be absent: counters stay as they are, tied weights take the value of their twin."""
    twins = {id(wanted[name]): tensor for name, tensor in kept.items()}
    return {name: twins.get(id(one), one.detach()) for name, one in wanted.items() if name not in kept}


def _prefix_note(prefix: str) -> list[str]:
    return [f"The prefix {prefix} was taken off every name."] if prefix else []


def precision_notes(tensors: Iterable[torch.Tensor]) -> tuple[str, ...]:
    """Says which floating-point types other than float32 there are, all of which become float32."""
    dtypes = {one.dtype for one in tensors if one.is_floating_point()} - {torch.float32}
    names = sorted(str(dtype).removeprefix("torch.") for dtype in dtypes)
    return (f"Weights in {' and '.join(names)} were converted to float32.",) if names else ()
