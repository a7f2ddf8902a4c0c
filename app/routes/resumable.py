"""Uploads that can be resumed: one resource, three ways of speaking (``app.dialects``)."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import TypeAdapter, ValidationError

from app import dialects
from app.access import needs
from app.docs import RAW_BODY, problems
from app.parameters import Cursor, FileName, GivenTags, IdempotencyKey, Limit, Sha256, plausible
from app.problems import headers_of, log_fault, problem_response
from app.resumable import Part
from app.routes.uploads import DEFAULT_NAMES
from app.said import ARCHITECTURE, SCHEMA, Words
from app.service import Service, TheService
from app.uploads import checked_name, expected_digest
from pith.errors import PithError
from pith.pointers import malformed
from pith.resources import Dataset, Model, Page, Upload, UploadOf
from pith.tags import Tags
from store.idempotency import Key

router = APIRouter(prefix="/v1/uploads", tags=["uploads"], dependencies=[needs()])
MAY = [needs("upload")]
_FAULTS = (
    "upload_interrupted",
    "upload_offset_mismatch",
    "upload_length_changed",
    "upload_too_long",
    "upload_too_large",
    "upload_empty",
    "upload_busy",
    "upload_checksum_mismatch",
    "tus_version",
    "digest_mismatch",
    "storage_full",
    "quota_exceeded",
    "media_type_not_supported",
    "origin_not_allowed",
)
_TAGS: TypeAdapter[tuple[str, ...]] = TypeAdapter(Tags)
_MADE = Upload | Model | Dataset
_SILENT: dict[int | str, dict[str, Any]] = {204: {"description": "The same to a client of tus, whose headers say it."}}
WRITES = {**problems("not_found", *_FAULTS), **_SILENT}
WORDS: Mapping[UploadOf, Words[Any]] = {"model": ARCHITECTURE, "dataset": SCHEMA}


def _id(id: Annotated[str, Path(description="Id of the upload.")]) -> str:
    return plausible(id, "upload", "/v1/uploads")


UploadPath = Annotated[str, Depends(_id)]


@router.options("", include_in_schema=False)
@router.options("/{id}", include_in_schema=False)
def spoken(service: TheService) -> Response:
    return Response(status_code=204, headers=dialects.options(service.settings.max_upload_bytes))


@router.post(
    "",
    status_code=201,
    dependencies=MAY,
    response_model=_MADE,
    responses=problems("not_found", *_FAULTS, "idempotency_key_reused"),
    summary="Begin an upload that can be resumed",
)
async def create(
    request: Request,
    service: TheService,
    architecture: Annotated[dict[str, str], Depends(ARCHITECTURE.query)],
    schema: Annotated[dict[str, str], Depends(SCHEMA.query)],
    of: Annotated[UploadOf | None, Query(description="What it is to become; model if nothing says otherwise.")] = None,
    name: FileName = "",
    sha256: Sha256 = None,
    idempotency_key: IdempotencyKey = None,
    tags: GivenTags = (),
) -> Response:
    """``Location`` is where its bytes go: by ``PATCH`` as tus 1.0 or the IETF's draft has it, or by ``PUT`` with
    Content-Range (``curl -C OFFSET -T FILE``). ``HEAD`` there says ``Upload-Offset``. tus sends the parameters as
    metadata."""
    dialects.check_creation(request)
    said = {**dialects.metadata(request), **architecture, **schema}
    kind = _kind(of or said.get("of") or "model")
    given = WORDS[kind].read({key: said[key] for key in WORDS[kind].names if key in said}, "query")
    chosen = checked_name(name or said.get("name") or said.get("filename") or DEFAULT_NAMES[kind])
    length, expected = dialects.length(request), expected_digest(request, sha256)
    if length == 0:
        raise PithError("upload_empty")
    room = await run_in_threadpool(service.uploads.room, service.settings.max_upload_bytes)
    room.check(length or 0)
    words = "" if given is None else given.model_dump_json()
    tagged = tuple(sorted({*tags, *_tags(said.get("tags", ""))}))
    asked = ("uploads", kind, chosen, str(length), expected or "", words, *tagged)
    key = None if idempotency_key is None else Key.of(idempotency_key, *asked)
    upload = await run_in_threadpool(service.uploads.create, kind, chosen, length, expected, given, key, tagged)
    location = f"/v1/uploads/{upload.id}"
    if dialects.brings_body(request):
        return await _taken(request, service, upload.id, dialects.created(request), location)
    return _answer(request, upload, None, location)


@router.get("", responses=problems("bad_cursor"), summary="List uploads, newest first")
def show_all(service: TheService, limit: Limit = 50, cursor: Cursor = None) -> Page[Upload]:
    """Those that can be resumed, and for a day those that are complete."""
    return service.uploads.list(limit, cursor)


@router.head("/{id}", include_in_schema=False)
@router.get("/{id}", response_model=Upload, responses=problems("not_found", "tus_version"), summary="Show an upload")
async def show(request: Request, id: UploadPath, service: TheService) -> Response:
    """``HEAD`` is for who wants to go on: it ends another request that is still sending."""
    resuming = request.method == "HEAD"
    upload = await service.receiver.look(id, resuming)
    body = "" if resuming else upload.model_dump_json()
    return Response(body, media_type="application/json", headers=dialects.described(upload, request))


@router.patch(
    "/{id}",
    dependencies=MAY,
    response_model=_MADE,
    responses=WRITES,
    openapi_extra=RAW_BODY,
    summary="Send more of an upload",
)
async def append(request: Request, id: UploadPath, service: TheService) -> Response:
    """From ``Upload-Offset`` on. What arrives is kept, even if the connection breaks."""
    return await _taken(request, service, id, dialects.appended(request))


@router.put(
    "/{id}",
    dependencies=MAY,
    response_model=_MADE,
    responses=WRITES,
    openapi_extra=RAW_BODY,
    summary="Send all or a range of it",
)
async def put(request: Request, id: UploadPath, service: TheService) -> Response:
    """With ``Content-Range`` from there on; without it, from the beginning to the end."""
    return await _taken(request, service, id, dialects.put(request))


@router.delete(
    "/{id}",
    status_code=204,
    dependencies=MAY,
    response_class=Response,
    responses=problems("not_found", "upload_busy", "tus_version", "origin_not_allowed"),
    summary="Forget an upload",
)
async def delete(request: Request, id: UploadPath, service: TheService) -> Response:
    """What it has become stays."""
    headers = {"Tus-Resumable": dialects.TUS} if dialects.speaks_tus(request) else {}
    await service.receiver.forget(id)
    return Response(status_code=204, headers=headers)


async def _taken(request: Request, service: Service, id: str, part: Part, location: str | None = None) -> Response:
    try:
        return _answer(request, *await service.receiver.take(request, id, part), location)
    except PithError as error:
        log_fault(request, error)
        upload = await run_in_threadpool(service.uploads.peek, id)
        headers = dict(headers_of(error))
        if upload is not None:
            headers |= dialects.described(upload, request) | ({"Location": location} if location else {})
        return problem_response(error.problem, headers)


def _answer(request: Request, upload: Upload, made: Model | Dataset | None, location: str | None) -> Response:
    """What a part has led to: tus wants no body, others the upload, or the model or dataset that it has become."""
    headers = dialects.described(upload, request)
    if location is not None:
        headers["Location"] = location
    if dialects.speaks_tus(request):
        return Response(status_code=201 if location else 204, headers=headers)
    body = (upload if made is None else made).model_dump_json()
    return Response(body, status_code=201 if location else 200, media_type="application/json", headers=headers)


def _tags(text: str) -> tuple[str, ...]:
    """Of tus's metadata, with commas between them. Raises PithError ``malformed_request``."""
    try:
        return _TAGS.validate_python(tuple(tag.strip() for tag in text.split(",") if tag.strip()))
    except ValidationError as fault:
        errors = [{**error, "loc": ("header", "upload-metadata", "tags")} for error in fault.errors(include_url=False)]
        raise malformed(errors, None) from fault


def _kind(given: str) -> UploadOf:
    if given == "model":
        return "model"
    if given == "dataset":
        return "dataset"
    raise malformed([{"loc": ("query", "of"), "type": "value_error", "msg": "should be model or dataset"}], None)
