"""`pith unpack`: the ONNX file out of a ``model.pith``, bit for bit, on the user's own machine."""

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from pith.errors import PithError

_FILE = click.Path(path_type=Path)


@click.command("unpack")
@click.argument("packed", type=_FILE)
@click.option("-o", "--out", type=_FILE, help="ONNX file to write; by default the same name, ending in .onnx.")
@click.option("--safetensors", is_flag=True, help="Write the weights too, beside the ONNX file, as .safetensors.")
def unpack(packed: Path, out: Path | None, safetensors: bool) -> None:
    """Write the ONNX file that a model.pith holds."""
    target = out or packed.with_suffix(".onnx")
    weights = target.with_suffix(".safetensors")
    if safetensors and weights == target:
        raise click.UsageError(f"-o names the ONNX file, and the weights would overwrite it; try -o {target.stem}.onnx")
    container = _needs("pith.packed.container")
    found = container.unpack(_read(packed))
    _write(target, found.model)
    if safetensors:
        writer = _needs("pith.packed.weights")
        _write(weights, writer.as_safetensors(found.tensors))


def _needs(module: str) -> Any:
    """A module of the client that needs more than the client.

    Raises:
        PithError: ``unpack_unusable``.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise PithError("unpack_unusable", missing=error.name) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PithError("file_unreadable", path=str(path), reason=error.strerror or str(error)) from error


def _write(path: Path, data: bytes) -> None:
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.write_bytes(data)
        aside.replace(path)
    except OSError as error:
        raise PithError("file_unreadable", path=str(path), reason=error.strerror or str(error)) from error
    finally:
        aside.unlink(missing_ok=True)
    click.echo(f"{path}  {len(data)} bytes", err=True)
