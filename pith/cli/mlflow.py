"""`pith mlflow …`: a model out of MLflow's registry, and a job's result into it."""

import os
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from pith.cli.facts import print_resource
from pith.cli.output import Output, connected
from pith.cli.uploads import checked, sent, wait_option
from pith.client import Pith
from pith.errors import PithError

tracking_option = click.option(
    "--tracking-uri", envvar="MLFLOW_TRACKING_URI", required=True, help="The MLflow server (or MLFLOW_TRACKING_URI)."
)


@click.group()
def mlflow() -> None:
    """MLflow: take a model from its registry, give a result back (needs pip install 'pith[mlflow]')."""


@mlflow.command()
@click.argument("uri")
@click.option("--name", help="What to call it, instead of its file's own name.")
@tracking_option
@wait_option
@connected
def pull(pith: Pith, out: Output, uri: str, name: str | None, tracking_uri: str, wait: bool) -> None:
    """Upload a model that MLflow has: models:/NAME/VERSION, models:/NAME@ALIAS or runs:/RUN/PATH.

    Exits with 1 when the check rejects it.
    """
    registry = _registry(tracking_uri)
    with TemporaryDirectory() as folder:
        made = sent(out, pith.models, registry.fetch(uri, Path(folder)), name)
    print_resource(out, checked(out, pith.models, made) if wait else made)


@mlflow.command()
@click.argument("id")
@click.option("--experiment", required=True, help="Where the run goes; made if it is not there.")
@click.option("--register", "name", help="Registered model that the ONNX file becomes a new version of.")
@click.option("--source", metavar="models:/NAME/VERSION", help="What the model came from, for the version's tags.")
@tracking_option
@connected
def push(
    pith: Pith, out: Output, id: str, experiment: str, name: str | None, source: str | None, tracking_uri: str
) -> None:
    """Log a job that has succeeded as a run of MLflow, and register its model.

    The same again changes nothing: the run and the version are found by the job's id.
    """
    registry = _registry(tracking_uri)
    pushed = registry.push(pith, pith.jobs.get(id), experiment, name, source)
    out.one(pushed, ("run", "experiment", "name", "version"))


def _registry(uri: str) -> Any:
    """
    Raises:
        PithError: ``registry_unusable``.
    """
    # MLflow's client tells its makers that it is used, unless it is told not to before it is imported.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        return import_module("pith.registry").Registry(uri)
    except ModuleNotFoundError as error:
        raise PithError("registry_unusable", missing=error.name) from error
