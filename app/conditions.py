"""Conditional requests on what is answered as JSON (RFC 9110, 13): the ETag is the digest of the answer."""

import hashlib
from collections.abc import Callable

from fastapi import Request, Response
from pydantic import BaseModel

from pith.errors import PithError

Check = Callable[[BaseModel], None]
"""Raises PithError ``precondition_failed`` for something that is not what the caller has seen."""


def answer(request: Request, shown: BaseModel) -> Response:
    """The JSON, or 304 when the caller has it."""
    body = shown.model_dump_json().encode()
    etag = _etag(body)
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if matches(request.headers.get("if-none-match"), etag, weakly=True):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def answer_text(request: Request, text: str, media_type: str, headers: dict[str, str]) -> Response:
    """The text, or 304 when the caller has it.

    Raises:
        PithError: ``precondition_failed``.
    """
    body = text.encode()
    etag = _etag(body)
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", **headers}
    refuse_stale(request.headers.get("if-match"), etag)
    if matches(request.headers.get("if-none-match"), etag, weakly=True):
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD":
        return Response(headers={**headers, "Content-Length": str(len(body))}, media_type=media_type)
    return Response(body, media_type=media_type, headers=headers)


def if_match(request: Request) -> Check:
    """The condition of a request that changes something, to be checked where it is changed."""
    condition = request.headers.get("if-match")

    def check(shown: BaseModel) -> None:
        refuse_stale(condition, _etag(shown.model_dump_json().encode()))

    return check


def refuse_stale(condition: str | None, etag: str) -> None:
    """
    Raises:
        PithError: ``precondition_failed``.
    """
    if condition is not None and not matches(condition, etag):
        raise PithError("precondition_failed", given=condition[:200], etag=etag)


def matches(condition: str | None, etag: str, weakly: bool = False) -> bool:
    """Whether ``If-Match``, or weakly ``If-None-Match``, names this ETag."""
    if condition is None:
        return False
    tags = [tag.strip() for tag in condition.split(",")]
    return tags == ["*"] or etag in ([tag.removeprefix("W/") for tag in tags] if weakly else tags)


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()}"'
