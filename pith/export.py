"""Write a right ``.pt2`` from a live module: float32, eval mode, a dynamic batch, checked with another batch size.

The caller's own torch is imported when ``export`` is called; the client itself needs none. Not covered: modules whose
control flow depends on the data, which no graph can hold.
"""

import io
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from importlib import import_module
from pathlib import Path
from typing import Any

from pith.errors import PithError
from pith.plain import plain_outputs
from pith.specialized import last_place_outside, specialized_at

OLDEST = (2, 11)
_TOLERANCE = {"rtol": 1e-3, "atol": 1e-4, "equal_nan": True}


def export(model: Any, example_inputs: Any, path: str | Path, *, dynamic: tuple[int, ...] = ()) -> Path:
    """Write ``model`` (a ``torch.nn.Module`` on the CPU) to ``path`` and return it; the module stays as it was.

    ``example_inputs`` is a tensor, a tuple of them in order, or a dict of them by keyword; the first dimension of each
    is the batch. ``dynamic`` names further dimensions that may change in every input, such as ``(1,)`` for the length
    of a text. Outputs may be a tensor, or tensors in tuples, dicts and the output classes of transformers.

    Raises:
        PithError: ``torch_unusable``, ``export_refused`` with the reason and the way out, or ``file_unreadable``.
    """
    torch = usable_torch()
    args, kwargs = _arguments(torch, example_inputs)
    _check_numbers(torch, model, (args, kwargs))
    with _at_rest(torch, model), plain_outputs(torch, model):
        program = _program(torch, model, args, kwargs, dynamic)
        _check_other_batch(torch, model, program, args, kwargs)
    return _saved(torch, program, Path(path))


def usable_torch() -> Any:
    """The torch of this environment.

    Raises:
        PithError: ``torch_unusable``.
    """
    try:
        torch = import_module("torch")
    except ImportError as error:
        raise PithError("torch_unusable", found="there is no torch") from error
    if tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2]) < OLDEST:
        raise PithError("torch_unusable", found=f"torch is {torch.__version__}")
    return torch


def refused(reason: str, way_out: str) -> PithError:
    return PithError("export_refused", reason=reason, way_out=way_out)


# ---- what goes in


def _arguments(torch: Any, given: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments with two samples at least: a batch of one is always taken for a constant."""
    args, kwargs = ((), dict(given)) if isinstance(given, Mapping) else (_as_tuple(torch, given), {})
    tensors = _tensors(torch, (args, kwargs))
    if not tensors:
        raise refused("the example inputs hold no tensor", "give a tensor, a tuple of tensors, or a dict of them")
    sizes = {tensor.shape[0] if tensor.ndim else None for tensor in tensors}
    if len(sizes) > 1 or None in sizes or 0 in sizes:
        found = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
        raise refused(f"the example inputs have the shapes {found}", "their first dimension is the batch; make it one")
    if sizes == {1}:
        args, kwargs = _with_samples(torch, (args, kwargs), 1)
    return args, kwargs


def _as_tuple(torch: Any, given: Any) -> tuple[Any, ...]:
    return (given,) if isinstance(given, torch.Tensor) else tuple(given)


def _tensors(torch: Any, value: Any) -> list[Any]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def _with_samples(torch: Any, inputs: Any, more: int) -> Any:
    """The same inputs, their first ``more`` samples once again at the end."""

    def longer(leaf: Any) -> Any:
        return torch.cat([leaf, leaf[:more]]) if isinstance(leaf, torch.Tensor) else leaf

    return torch.utils._pytree.tree_map(longer, inputs)


def _check_numbers(torch: Any, model: Any, inputs: Any) -> None:
    if not isinstance(model, torch.nn.Module):
        raise refused(f"the model is a {type(model).__name__}", "give a torch.nn.Module")
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.device.type != "cpu":
            raise refused(f"{name} is on {tensor.device}", "call model.cpu() first")
        if tensor.is_floating_point() and tensor.dtype is not torch.float32:
            raise refused(f"{name} is {_kind(tensor)}, and a graph for Pith is float32", "call model.float() first")
    for tensor in _tensors(torch, inputs):
        if tensor.is_floating_point() and tensor.dtype is not torch.float32:
            raise refused(f"an example input is {_kind(tensor)}", "give example.float()")


def _kind(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


# ---- the graph


@contextmanager
def _at_rest(torch: Any, model: Any) -> Iterator[None]:
    """Eval mode, no gradients and no warnings; each module's own mode comes back afterwards."""
    modes = {module: module.training for module in model.modules()}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            model.eval()
            yield
        finally:
            for module, training in modes.items():
                module.training = training


def _program(torch: Any, model: Any, args: Any, kwargs: Any, dynamic: tuple[int, ...]) -> Any:
    def dimensions(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor):
            return None
        return {place: torch.export.Dim.DYNAMIC for place in (0, *dynamic) if place < leaf.ndim}

    shapes = torch.utils._pytree.tree_map(dimensions, kwargs or args)

    def trace() -> Any:
        with _without_dumps():
            return torch.export.export(model, args, kwargs, dynamic_shapes=shapes)

    try:
        return trace()
    except PithError:
        raise
    except Exception as error:  # torch raises many kinds, and so may the module itself
        _check_inputs(torch, model, args, kwargs)
        raise _why(torch, error, trace) from error


@contextmanager
def _without_dumps() -> Iterator[None]:
    """Torch prints whole graphs where it fails; what is said where it does not is passed on."""
    said = io.StringIO()
    with redirect_stderr(said):
        yield
    sys.stderr.write(said.getvalue())


def _check_inputs(torch: Any, model: Any, args: Any, kwargs: Any) -> None:
    """Whether the module runs at all; torch's words are about numbers here, and about symbols while it traces."""
    try:
        model(*args, **kwargs)
    except PithError:
        raise
    except Exception as error:  # whatever the module raises
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in _tensors(torch, (args, kwargs)))
        reason = f"the module does not run on inputs of the shape {shapes}, the batch first: {_first(torch, error)}"
        way_out = "check the example (--input is the shape of one sample), or mend the module"
        raise refused(reason, way_out) from error


def _first(torch: Any, error: Exception) -> str:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
    return f"{type(error).__name__}: {first[:300].rstrip('.')}{last_place_outside(torch, error)}"


def _why(torch: Any, error: Exception, trace: Any) -> PithError:
    text = str(error)
    if found := re.search(r"\.size\(\)\[(\d+)\].*specialized it to be a constant \((\d+)\)", text, re.DOTALL):
        place, size = found.groups()
        what = "the batch" if place == "0" else f"dimension {place}"
        where = specialized_at(torch, trace)
        return refused(f"{what} became a constant ({size}){where}", "take sizes from x.shape there, not from a number")
    if "data-dependent" in text:
        where = last_place_outside(torch, error)
        way_out = "choose with torch.where, or leave that out of forward"
        return refused(f"the values of the data decide what is computed{where}", way_out)
    return refused(_first(torch, error), "mend that, or export another part of the model")


# ---- what comes out


def _check_other_batch(torch: Any, model: Any, program: Any, args: Any, kwargs: Any) -> None:
    """The written graph gives what the module gives, for one sample more than it was traced with."""
    args, kwargs = _with_samples(torch, (args, kwargs), 1)
    samples = len(_tensors(torch, (args, kwargs))[0])
    wanted = _tensors(torch, model(*args, **kwargs))
    try:
        given = _tensors(torch, program.module()(*args, **kwargs))
    except Exception as error:  # whatever the graph raises, the batch is why
        raise refused(f"the graph does not take {samples} samples ({error})", "let no size depend on it") from error
    for number, (one, other) in enumerate(zip(wanted, given, strict=True)):
        if not one.ndim or one.shape[0] != samples:
            way_out = "return one row a sample"
            raise refused(f"output {number} has the shape {tuple(one.shape)} for {samples} samples", way_out)
        if one.shape != other.shape or not torch.allclose(one, other, **_TOLERANCE):
            raise refused(
                f"output {number} of the graph differs from the module's for {samples} samples",
                "remove what is random or remembered from forward",
            )


def _saved(torch: Any, program: Any, path: Path) -> Path:
    aside = path.with_name(f".{path.stem}.part.pt2")
    try:
        with aside.open("wb") as file:
            torch.export.save(program, file)
        aside.replace(path)
    except OSError as error:
        raise PithError("file_unreadable", path=str(path), reason=error.strerror or str(error)) from error
    finally:
        aside.unlink(missing_ok=True)
    return path
