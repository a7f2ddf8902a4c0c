"""A job spec as a person writes it: a JSON file, in which `pith run` fills in the ids of what it uploads."""

import json
import sys
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from pith.errors import PithError
from pith.fork import ForkSpec
from pith.job import JobSpec
from pith.pointers import malformed

STANDIN = "0" * 26


def read(path: str) -> dict[str, Any]:
    """The file, or stdin for ``-``.

    Raises:
        PithError: ``file_unreadable``.
        click.ClickException: it holds no JSON object; where it is broken.
    """
    return json_object(path, 'a job spec is: {"recipe": […]}')


def json_object(path: str, example: str) -> dict[str, Any]:
    """What a JSON file holds; raises as ``read`` does, and ``example`` says what an object looks like."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        document = json.loads(text)
    except OSError as fault:
        raise PithError("file_unreadable", path=path, reason=fault.strerror or str(fault)) from fault
    except (ValueError, RecursionError) as fault:
        raise click.ClickException(f"the file {path!r} is no JSON: {fault}; mend it there") from fault
    if not isinstance(document, dict):
        raise click.ClickException(f"the file {path!r} holds no JSON object, which {example}")
    return document


def parse(document: dict[str, Any], model: str | None = None, dataset: str | None = None) -> JobSpec:
    """The spec with these ids put in, checked as the service would.

    Raises:
        PithError: ``malformed_request``, or what ``JobSpec.check`` raises.
    """
    spec = well_formed(document, model, dataset)
    spec.check()
    return spec


def well_formed(document: dict[str, Any], model: str | None = None, dataset: str | None = None) -> JobSpec:
    """The same, where it may make no sense: a plan tells all that is wrong with it.

    Raises:
        PithError: ``malformed_request``.
    """
    ids = {name: id for name, id in (("model", model), ("dataset", dataset)) if id is not None}
    filled = {**document, **ids}
    try:
        return JobSpec.model_validate_json(json.dumps(filled), strict=True)
    except ValidationError as fault:
        raise malformed(fault.errors(include_url=False), filled) from fault


def fork(document: dict[str, Any]) -> ForkSpec:
    """What is asked of a fork. Raises PithError ``malformed_request``."""
    try:
        return ForkSpec.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as fault:
        raise malformed(fault.errors(include_url=False), document, ForkSpec) from fault
