"""Sending a blob: whole, a range of it, its headers alone, or nothing when the caller has it already (RFC 9110)."""

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

from fastapi import Request, Response
from starlette.responses import StreamingResponse

from app.conditions import matches, refuse_stale
from app.problems import problem_response
from pith.artifact import MEDIA_TYPES, Artifact
from pith.errors import PithError
from store.blobs import Blobs

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


class Span(NamedTuple):
    """Bytes from ``start`` up to, and without, ``end``."""

    start: int
    end: int


def send(request: Request, blobs: Blobs, artifact: Artifact, disposition: str = "attachment") -> Response:
    """
    Raises:
        PithError: ``blob_missing``, ``precondition_failed``.
    """
    etag = f'"{artifact.digest}"'
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    refuse_stale(request.headers.get("if-match"), etag)
    if matches(request.headers.get("if-none-match"), etag, weakly=True):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = f"{disposition}; filename*=UTF-8''{quote(artifact.name, safe='')}"
    span = _span(request, etag, artifact.size_bytes)
    if span is not None and span.start >= span.end:
        return _unsatisfiable(request.headers["range"], artifact.size_bytes)
    if span is None:
        status, span = 200, Span(0, artifact.size_bytes)
    else:
        status = 206
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{artifact.size_bytes}"
    headers["Content-Length"] = str(span.end - span.start)
    media_type = MEDIA_TYPES.get(artifact.format, "application/octet-stream")
    body = iter(()) if request.method == "HEAD" else _bytes(blobs, artifact, span)
    return StreamingResponse(body, status, headers, media_type)


def _unsatisfiable(asked: str, size: int) -> Response:
    problem = PithError("range_not_satisfiable", range=asked[:100], size=size).problem
    return problem_response(problem, {"Content-Range": f"bytes */{size}"})


def _bytes(blobs: Blobs, artifact: Artifact, span: Span) -> Iterator[bytes]:
    try:
        return blobs.read(artifact.digest, span.start, span.end)
    except FileNotFoundError as fault:
        raise PithError("blob_missing", digest=artifact.digest, what=f"artifact {artifact.name!r}") from fault


def _span(request: Request, etag: str, size: int) -> Span | None:
    """The one range asked for; None means the whole, as for ranges that are many or make no sense."""
    asked = request.headers.get("range", "")
    match = _RANGE.fullmatch(asked.replace(" ", ""))
    if request.method != "GET" or match is None or match[1] == match[2] == "":
        return None
    if request.headers.get("if-range", etag) != etag:
        return None
    return _clipped(match[1], match[2], size)


def _clipped(first: str, last: str, size: int) -> Span | None:
    if not first:
        return Span(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    return Span(int(first), min(size, int(last) + 1) if last else size)
