"""Hostile uploads sent to a running service, all at once, and what became of each."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx

from pith.client import Pith
from pith.dataset import DatasetSchema
from pith.errors import PithError, Problem
from pith.intake import Architecture
from pith.resources import Dataset, Model
from tests.hostile.case import Canary, Hostile

SENDERS = 4
Uploaded = Model | Dataset


class Delivered(NamedTuple):
    """What was made of a case: an upload and its check, or what the API answered at once."""

    upload: Uploaded | None = None
    refused: Problem | None = None


def deliver(url: str, cases: Iterable[Hostile], folder: Path, port: int) -> dict[str, Delivered]:
    """Send all of them, then wait until none is being checked any more."""
    with Pith(url) as pith, ThreadPoolExecutor(SENDERS) as pool:
        built = ((case, _built(case, folder / str(number), port)) for number, case in enumerate(cases))
        coming = {case.name: pool.submit(_sent, url, pith, case, path) for case, path in built}
        return {name: _checked(pith, one.result()) for name, one in coming.items()}


def _built(case: Hostile, folder: Path, port: int) -> Path | None:
    """The file, made in the caller's thread: torch exports in one only."""
    if case.build is None:
        return None
    folder.mkdir(parents=True)
    case.build(folder / case.file_name, Canary(folder / "canary", port))
    return folder / case.file_name


def _sent(url: str, pith: Pith, case: Hostile, path: Path | None) -> Delivered:
    try:
        return Delivered(_named(url, case) if path is None else _uploaded(pith, case, path))
    except PithError as error:
        return Delivered(refused=error.problem)
    finally:
        if path is not None:
            path.unlink()


def _named(url: str, case: Hostile) -> Model:
    """As JSON past the client, which would not send some of these."""
    answer = httpx.post(f"{url}/v1/models", json=case.architecture, timeout=60)
    if answer.is_error:
        raise PithError.of(Problem.model_validate(answer.json()))
    return Model.model_validate(answer.json())


def _uploaded(pith: Pith, case: Hostile, path: Path) -> Uploaded:
    if case.kind == "model":
        named = None if case.architecture is None else Architecture.model_validate(case.architecture)
        return pith.models.upload(path, given=named)
    schema = None if case.schema is None else DatasetSchema.model_validate(case.schema)
    return pith.datasets.upload(path, given=schema)


def _checked(pith: Pith, one: Delivered) -> Delivered:
    match one.upload:
        case Model(id=id):
            return Delivered(pith.models.checked(id))
        case Dataset(id=id):
            return Delivered(pith.datasets.checked(id))
    return one


def forget(pith: Pith, delivered: Iterable[Delivered]) -> None:
    """Delete every upload."""
    for one in delivered:
        match one.upload:
            case Model(id=id):
                pith.models.delete(id)
            case Dataset(id=id):
                pith.datasets.delete(id)
