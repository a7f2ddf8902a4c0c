"""Put tensors into a module: every name and shape compared first, nothing loaded in part."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import torch
from torch import nn

from engine.weights.state_dict import without_prefixes
from pith.errors import FieldProblem, PithError

_MOST_LISTED: Final = 20
_COUNTER: Final = "num_batches_tracked"
_OLD_BUFFERS: Final = ("position_ids", "token_type_ids", "relative_position_index")


class Mismatch(NamedTuple):
    """Names without a counterpart, and names whose shapes differ (the file's first)."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]

    def differences(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.shapes)


def fit(module: nn.Module, tensors: Mapping[str, torch.Tensor], architecture: str, hint: str = "") -> tuple[str, ...]:
    """Load the tensors into the module; says in sentences what was done to them on the way.

    Batch norm's counters are optional, tied weights need to be there once, half and double precision become float32.

    Raises:
        PithError: ``weights_mismatch``, with every difference (20 of each kind) in ``errors``.
    """
    wanted = module.state_dict(keep_vars=True)
    prefix, named = min(without_prefixes(tensors), key=lambda one: compare(wanted, one[1]).differences())
    difference = compare(wanted, named)
    if difference.differences():
        raise mismatch(difference, architecture, hint)
    kept = {name: _as(wanted[name], tensor) for name, tensor in named.items() if name in wanted}
    module.load_state_dict({**_absent(wanted, kept), **kept}, strict=True)
    return (*_prefix_note(prefix), *_precision_note(wanted, named))


def compare(wanted: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]) -> Mismatch:
    """What differs between the names and shapes of two state dicts."""
    there = {id(wanted[name]) for name in wanted if name in given}
    missing = [name for name, one in wanted.items() if name not in given and id(one) not in there]
    unexpected = [name for name in given if name not in wanted]
    pairs = {name: (tuple(given[name].shape), tuple(wanted[name].shape)) for name in given if name in wanted}
    return Mismatch(
        tuple(name for name in missing if not name.endswith(_COUNTER)),
        tuple(name for name in unexpected if not name.endswith((_COUNTER, *_OLD_BUFFERS))),
        {name: pair for name, pair in pairs.items() if pair[0] != pair[1]},
    )


def mismatch(difference: Mismatch, architecture: str, hint: str) -> PithError:
    """The error that says what differs."""
    counts = [(len(difference.missing), "missing"), (len(difference.unexpected), "unexpected")]
    counts.append((len(difference.shapes), "of another shape"))
    summary = ", ".join(f"{count} {what}" for count, what in counts if count)
    way_out = hint or "name the architecture and the arguments that they were made with"
    return PithError(
        "weights_mismatch",
        errors=tuple(_problems(difference)),
        architecture=architecture,
        summary=summary,
        way_out=way_out,
    )


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


def _precision_note(wanted: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]) -> list[str]:
    dtypes = {one.dtype for name, one in given.items() if name in wanted and one.dtype != wanted[name].dtype}
    names = sorted(str(dtype).removeprefix("torch.") for dtype in dtypes if dtype.is_floating_point)
    return [f"Weights in {' and '.join(names)} were converted to float32."] if names else []
