"""Hostile uploads sent to a running service, all at once, and what became of each."""

import contextlib
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
        sent = dict(pool.map(lambda one: (one[1].name, _sent(url, pith, one, folder, port)), enumerate(cases)))
        return {name: _checked(pith, one) for name, one in sent.items()}


def _sent(url: str, pith: Pith, numbered: tuple[int, Hostile], folder: Path, port: int) -> Delivered:
    number, case = numbered
    try:
        if case.build is None:
            return Delivered(_named(url, case))
        return Delivered(_file(pith, case, folder / str(number), port))
    except PithError as error:
        return Delivered(refused=error.problem)


def _named(url: str, case: Hostile) -> Model:
    """As JSON past the client, which would not send some of these."""
    answer = httpx.post(f"{url}/v1/models", json=case.architecture, timeout=60)
    if answer.is_error:
        raise PithError.of(Problem.model_validate(answer.json()))
    return Model.model_validate(answer.json())


def _file(pith: Pith, case: Hostile, folder: Path, port: int) -> Uploaded:
    folder.mkdir()
    path = folder / case.file_name
    assert case.build is not None
    case.build(path, Canary(folder / "canary", port))
    try:
        if case.kind == "model":
            named = None if case.architecture is None else Architecture.model_validate(case.architecture)
            return pith.models.upload(path, given=named)
        schema = None if case.schema is None else DatasetSchema.model_validate(case.schema)
        return pith.datasets.upload(path, given=schema)
    finally:
        path.unlink()


def _checked(pith: Pith, one: Delivered) -> Delivered:
    if one.upload is None:
        return one
    return Delivered(_of(pith, one.upload).checked(one.upload.id))


def forget(pith: Pith, delivered: Iterable[Delivered]) -> None:
    """Delete every upload."""
    for one in delivered:
        if one.upload is not None:
            with contextlib.suppress(PithError):
                _of(pith, one.upload).delete(one.upload.id)


def _of(pith: Pith, upload: Uploaded):  # type: ignore[no-untyped-def]
    return pith.models if isinstance(upload, Model) else pith.datasets
