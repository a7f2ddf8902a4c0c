"""`pith techniques`, `pith workers` and `pith up`."""

import os
import sys
from importlib.util import find_spec

import click

from pith.cli.output import Output, connected
from pith.client import Pith
from pith.errors import PithError

SERVER = ("fastapi", "uvicorn", "sqlalchemy", "celery", "torch", "onnxruntime")


@click.command()
@connected
def techniques(pith: Pith, out: Output) -> None:
    """List every step that a recipe can have."""
    out.many(pith.techniques(), ("kind", "summary", "limits"))


@click.command()
@connected
def workers(pith: Pith, out: Output) -> None:
    """List the workers that have lately been seen, and what they compute on."""
    out.many(pith.workers(), ("name", "device", "queues", "started_at", "seen_at"))


@click.command()
@click.option("--data-dir", help="Folder of everything that is kept (PITH_DATA_DIR; else .data).")
@click.option("--host", help="Address to listen on (PITH_HOST; else 127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (PITH_PORT; else 8000).")
def up(**given: object) -> None:
    """Start the whole service on this machine, and stay."""
    missing = [name for name in SERVER if find_spec(name) is None]
    if missing:
        raise PithError("server_not_installed", missing=", ".join(missing))
    settings = {f"PITH_{name.upper()}": str(value) for name, value in given.items() if value is not None}
    # Whatever lies in the folder that this is typed in is not imported, not even a folder that is called pith.
    os.execve(sys.executable, [sys.executable, "-P", "-m", "app.up"], {**os.environ, **settings})
