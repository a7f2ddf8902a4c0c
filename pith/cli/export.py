"""`pith export`: from a module of the user's own code to a ``.pt2``, on the user's own machine."""

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from pith.errors import PithError
from pith.export import export, refused, usable_torch

_INPUT = re.compile(r"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<sizes>\d+(?:,\d+)*)(?::(?P<dtype>float32|int64|int32|bool))?")
_FILE = click.Path(path_type=Path)
_WRAPPERS = ("state_dict", "model_state_dict", "model")


@click.command("export")
@click.argument("factory", metavar="MODULE:FACTORY")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    required=True,
    metavar="[NAME=]SIZES[:DTYPE]",
    help="Shape of one sample, without the batch: 3,32,32 or input_ids=128:int64. Once for each input.",
)
@click.option(
    "--dynamic", multiple=True, type=click.IntRange(1, 8), help="Dimension that may change too; the batch is 0."
)
@click.option("--weights", type=_FILE, help="State dict to load (.pth, .safetensors).")
@click.option("-o", "--out", default="model.pt2", show_default=True, type=_FILE, help="File to write.")
def export_model(
    factory: str, inputs: tuple[str, ...], dynamic: tuple[int, ...], weights: Path | None, out: Path
) -> None:
    """Write a .pt2 with a dynamic batch from your own PyTorch code.

    MODULE:FACTORY is a function or class without arguments, or a module object, such as mypackage.nets:build.
    """
    torch = usable_torch()
    example = _example(torch, inputs)
    model = _built(factory)
    if weights is not None:
        _load(torch, model, weights)
    written = export(model, example, out, dynamic=dynamic)
    click.echo(f"{written}  {written.stat().st_size} bytes, checked with another batch size", err=True)


def _example(torch: Any, inputs: tuple[str, ...]) -> Any:
    named = [_tensor(torch, text) for text in inputs]
    names = [name for name, _ in named if name]
    if names and len(names) < len(named):
        raise click.UsageError("name all inputs or none: --input input_ids=128:int64 --input attention_mask=128:int64")
    return dict(named) if names else tuple(tensor for _, tensor in named)


def _tensor(torch: Any, text: str) -> tuple[str | None, Any]:
    """Two samples: noise for floating point, zeros and ones for the others."""
    found = _INPUT.fullmatch(text)
    if found is None:
        raise click.UsageError(
            f"--input {text!r} is no shape; write 3,32,32 or 128:int64 (float32, int64, int32, bool)"
        )
    sizes = (2, *(int(size) for size in found["sizes"].split(",")))
    random, dtype = torch.Generator().manual_seed(0), found["dtype"] or "float32"
    if dtype == "float32":
        return found["name"], torch.randn(sizes, generator=random)
    return found["name"], torch.randint(0, 2, sizes, generator=random).to(getattr(torch, dtype))


def _built(factory: str) -> Any:
    """The user's own code, imported as ``python -m`` would: the folder that the command runs in comes first."""
    module, _, attribute = factory.partition(":")
    if not module or not attribute:
        raise click.UsageError(f"{factory!r} is no MODULE:FACTORY, such as mypackage.nets:build")
    sys.path.insert(0, str(Path.cwd()))
    found = _from_user(f"importing {module}", lambda: import_module(module))
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise click.UsageError(f"{module} has no {attribute}; name a function, a class or a module object of it")
        found = getattr(found, name)
    is_model = hasattr(found, "state_dict") and not isinstance(found, type)
    return found if is_model else _from_user(f"{factory}()", found)


def _from_user(what: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:  # whatever the user's code raises
        raise click.ClickException(f"{what} raised {type(error).__name__}: {error}") from error


def _load(torch: Any, model: Any, path: Path) -> None:
    state = _state(torch, path)
    wrapper = next((name for name in _WRAPPERS if isinstance(state.get(name), dict)), None)
    state = state[wrapper] if wrapper else state
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:400]
        raise refused(f"{path} does not fit the module ({reason})", "name the weights of this module") from error


def _state(torch: Any, path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".safetensors":
            state = import_module("safetensors.torch").load_file(path)
        else:
            state = torch.load(path, weights_only=True, map_location="cpu")
    except OSError as error:
        raise PithError("file_unreadable", path=str(path), reason=error.strerror or str(error)) from error
    except Exception as error:  # of the pickle, of the archive, of safetensors
        reason = _reason(error)
        raise refused(
            f"{path} cannot be read as weights ({reason})", "save model.state_dict() with torch.save"
        ) from error
    if not isinstance(state, dict):
        raise refused(f"{path} holds a {type(state).__name__}", "save model.state_dict() with torch.save")
    return state


def _reason(error: Exception) -> str:
    """Torch's own words recommend to run the file's code; these do not."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    if found is not None:
        return f"it holds {found[1]}, which is no tensor"
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
