"""Receiving one file, as a raw body or as a form. What arrives cut off, empty, too long or altered is not stored."""

import asyncio
import base64
import binascii
import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Generic, NamedTuple, TypeVar

from fastapi.concurrency import run_in_threadpool
from pydantic import TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect, Request

from app.intake import intake
from app.multipart import Form
from app.service import Service
from pith.artifact import Digest, Name
from pith.errors import PithError
from pith.pointers import malformed
from store.blob_writer import Stored
from store.quotas import Room

FORM_OVERHEAD = 2**16
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_REPR_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]+):")


T = TypeVar("T")


class Received(NamedTuple, Generic[T]):
    """A stored blob, what to call it, and what else the form said."""

    name: str
    stored: Stored
    said: T


async def receive_body(request: Request, service: Service, name: str, sha256: str | None) -> Received[None]:
    """The whole body as one file.

    Raises:
        PithError: ``upload_*``, ``digest_mismatch``, ``storage_full``, ``quota_exceeded``,
            ``media_type_not_supported``.
    """
    if request.headers.get("content-type", "").startswith("multipart/"):
        _refuse_type(request, "the bytes of the file by PUT (a form goes by POST)")
    if "content-range" in request.headers:
        raise _wrong("header", "content-range", "Parts of a file go to an upload; POST /v1/uploads begins one")
    name = checked_name(name)
    expected = expected_digest(request, sha256)
    room = await _room(service)
    _check_length(request, room)
    async with intake(service.blobs, room) as taking:
        async for piece in _pieces(request, service.settings.upload_idle_seconds):
            await taking.feed(piece)
        return Received(name, await taking.finish(expected), None)


async def receive_form(
    request: Request,
    service: Service,
    name: str | None,
    default: str,
    sha256: str | None,
    also: Collection[str],
    understood: Callable[[Mapping[str, str]], T],
) -> Received[T]:
    """The part ``file`` of a form. Raises as ``receive_body`` does, and ``multipart_malformed``.

    ``name`` goes before the form's own; ``default`` is for a form that has none. Nothing is stored unless the parts
    that are called as in ``also`` are ``understood``.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        instead = "a source or an Architecture" if "architecture" in also else "a source"
        wanted = f"multipart/form-data by POST (a bare file goes by PUT), or {instead} as application/json"
        _refuse_type(request, wanted)
    expected = expected_digest(request, sha256)
    room = await _room(service)
    _check_length(request, room, FORM_OVERHEAD)
    form = Form(request.headers["content-type"], also)
    async with intake(service.blobs, room) as taking:
        async for piece in _pieces(request, service.settings.upload_idle_seconds):
            for part in form.feed(piece):
                await taking.feed(part)
        form.finish()
        chosen, said = checked_name(name or form.name or default), understood(form.said)
        return Received(chosen, await taking.finish(expected), said)


def checked_name(name: str) -> str:
    """
    Raises:
        PithError: ``malformed_request`` for an empty, overlong or unprintable name.
    """
    try:
        return _NAME.validate_python(name)
    except ValidationError as fault:
        errors = [{**error, "loc": ("query", "name")} for error in fault.errors(include_url=False)]
        raise malformed(errors, None) from fault


async def _pieces(request: Request, idle: float) -> AsyncIterator[bytes]:
    """The body as it arrives, whole or not at all."""
    received = 0
    stream = request.stream()
    try:
        while True:
            async with asyncio.timeout(idle):
                piece = await anext(stream, None)
            if piece is None:
                return
            received += len(piece)
            if piece:
                yield piece
    except (ClientDisconnect, TimeoutError) as fault:
        expected = request.headers.get("content-length", "an unknown number")
        raise PithError("upload_incomplete", received=received, expected=expected) from fault


async def _room(service: Service) -> Room:
    return await run_in_threadpool(service.uploads.room, service.settings.max_upload_bytes)


def _check_length(request: Request, room: Room, overhead: int = 0) -> None:
    """Refuse by the announced length, before a byte has come."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal():
        room.check(int(announced[:30]) - overhead)


def expected_digest(request: Request, sha256: str | None) -> Digest | None:
    """The digest that the caller says the whole file has: ?sha256=, or Repr-Digest (RFC 9530)."""
    if request.headers.get("content-encoding", "identity") != "identity":
        given = request.headers["content-encoding"][:100]
        raise PithError(
            "media_type_not_supported", path=request.url.path, wanted="no Content-Encoding", given=repr(given)
        )
    if sha256 is not None:
        return f"sha256:{sha256.removeprefix('sha256:').lower()}"
    match = _REPR_DIGEST.search(request.headers.get("repr-digest", ""))
    if match is None:
        return None
    try:
        digest = base64.b64decode(match[1], validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise _wrong("header", "repr-digest", "Write sha-256=:BASE64 OF 32 BYTES:")
    return f"sha256:{digest.hex()}"


def _refuse_type(request: Request, wanted: str) -> None:
    kind = request.headers.get("content-type", "")
    given = repr(kind[:100]) if kind else "nothing about it"
    raise PithError("media_type_not_supported", path=request.url.path, wanted=wanted, given=given)


def _wrong(place: str, field: str, message: str) -> PithError:
    return malformed([{"loc": (place, field), "type": "value_error", "msg": message}], None)
