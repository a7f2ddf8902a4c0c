"""Parameters that several routes share."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ValidationError

from app.said import check_clean
from app.service import Service, TheService
from pith.errors import PithError
from pith.imports import DatasetImport, ModelImport
from pith.intake import Architecture
from pith.job import Job, JobSpec
from pith.pointers import malformed
from pith.results import ModelOfJob
from pith.tags import MOST, Tag

T = TypeVar("T", bound=BaseModel)
_PLAUSIBLE = re.compile(r"[0-9A-Za-z_-]{1,64}")

Limit = Annotated[int, Query(ge=1, le=200, description="Most entries of a page.")]
Cursor = Annotated[str | None, Query(max_length=500, description="next_cursor of the page before.")]
Sha256 = Annotated[
    str | None,
    Query(pattern="^(sha256:)?[0-9a-fA-F]{64}$", description="Refuse the file if this is not the digest of its bytes."),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e]+$",
        description="A new name for each request; what is sent again under it makes nothing new. Kept for a week.",
    ),
]
FileName = Annotated[str, Query(max_length=255, description="What to call it.")]


def _tags(
    tag: Annotated[
        list[Tag] | None, Query(max_length=MOST, description="A tag to give it; several times for several.")
    ] = None,
) -> tuple[str, ...]:
    return tuple(sorted({*(tag or ())}))


def _tagged(
    tag: Annotated[
        list[Tag] | None, Query(max_length=MOST, description="Only what has this tag; several times: all of them.")
    ] = None,
) -> tuple[str, ...]:
    return tuple(tag or ())


GivenTags = Annotated[tuple[str, ...], Depends(_tags)]
WantedTags = Annotated[tuple[str, ...], Depends(_tagged)]


def plausible(id: str, what: str, listing: str) -> str:
    """An id that the database may be asked for.

    Raises:
        PithError: ``not_found``, since nothing is called so.
    """
    if not _PLAUSIBLE.fullmatch(id):
        raise PithError("not_found", what=what, id=id[:64], listing=listing)
    return id


def _job(id: Annotated[str, Path(description="Id of the job.", examples=["job_01jd0000000000000000000000"])]) -> str:
    return plausible(id, "job", "/v1/jobs")


JobPath = Annotated[str, Depends(_job)]


def _there(id: JobPath, service: TheService) -> Job:
    return service.jobs.get(id)


TheJob = Annotated[Job, Depends(_there)]
"""Looked up before the body is read: of what is not there, nothing is told by the way in which a body is wrong."""


async def whole_body(request: Request, service: Service) -> bytes:
    """Raises PithError ``body_too_large``."""
    limit = service.settings.max_body_bytes
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise PithError("body_too_large", limit=limit)
    return bytes(body)


async def _json_body(request: Request, service: TheService) -> bytes:
    """The body, if it says that it is JSON and is not too long."""
    kind = request.headers.get("content-type", "")
    if kind.split(";")[0].strip().lower() != "application/json":
        given = repr(kind[:100]) if kind else "nothing about it"
        raise PithError("media_type_not_supported", path=request.url.path, wanted="application/json", given=given)
    return await whole_body(request, service)


def json_of(kind: type[T]) -> Callable[..., T]:
    """A dependency: the body as this class. In a thread: a megabyte of nonsense takes a while to be found wrong."""

    def read(body: Annotated[bytes, Depends(_json_body)]) -> T:
        return _read(kind, body)

    return read


async def model_body(request: Request, service: Service) -> Architecture | ModelImport | ModelOfJob:
    """A JSON body in the place of a model's file. Raises PithError ``malformed_request``, ``body_too_large``."""
    body = await _json_body(request, service)
    document = _document(body, "")
    if isinstance(document, dict) and not {"name", "source", "job"} & document.keys():
        message = "has neither a source, to be fetched, nor the name of an architecture, to be built, nor a job"
        raise malformed([{"loc": (), "type": "value_error", "msg": message}], document, Architecture)
    if isinstance(document, dict) and "source" in document:
        return await _clean(ModelImport, body)
    if isinstance(document, dict) and "job" in document:
        return await _clean(ModelOfJob, body)
    return await _clean(Architecture, body)


async def dataset_body(request: Request, service: Service) -> DatasetImport:
    """The same for a dataset."""
    return await _clean(DatasetImport, await _json_body(request, service))


async def _clean(kind: type[T], body: bytes) -> T:
    found = await run_in_threadpool(_read, kind, body)
    said: BaseModel | None = found
    if isinstance(found, ModelImport | DatasetImport):
        said = found.given()
    elif isinstance(found, ModelOfJob):
        said = found.architecture
    if said is not None:
        check_clean(said, lambda rule: malformed([{"loc": (), "type": "value_error", "msg": rule}], {}, kind))
    return found


def _read(kind: type[T], body: bytes) -> T:
    try:
        return kind.model_validate_json(body, strict=True)
    except ValidationError as fault:
        found = fault.errors(include_url=False, include_context=False)
        errors = [_unsaid(error) if error["loc"][:1] == ("source",) else error for error in found]
        raise malformed(errors, _document(body, errors[0]["type"]), kind) from fault


def _unsaid(error: Mapping[str, Any]) -> Mapping[str, Any]:
    """An address is not repeated: it may hold a password."""
    return {name: value for name, value in error.items() if name != "input"}


def _document(body: bytes, first: str) -> object:
    """The body again, for pointers into it; None when it is no JSON."""
    try:
        return None if first == "json_invalid" else json.loads(body)
    except (ValueError, RecursionError):
        return None


JobSpecBody = Annotated[JobSpec, Depends(json_of(JobSpec))]
