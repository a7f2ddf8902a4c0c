"""The files that the pages use: style, scripts, and what others wrote (``app/static/vendor``, with its licences and
hashes).

Their addresses hold the digest of all of them, so that a browser keeps them for good and never mixes two versions.
"""

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi import Path as PathParameter

from app.conditions import matches
from pith.errors import PithError

FOLDER = Path(__file__).parents[1] / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
KEPT = "public, max-age=31536000, immutable"
ASKED_AGAIN = "no-cache"
router = APIRouter(include_in_schema=False)


@router.get("/static/{version}/{name:path}")
@router.head("/static/{version}/{name:path}")
def send(request: Request, version: str, name: Annotated[str, PathParameter(max_length=200)]) -> Response:
    """One file. A version that is none of ours is answered too, but not kept: it is a page of before an update."""
    if name not in names():
        raise PithError("route_not_found", method=request.method, path=request.url.path[:255])
    etag = f'"{digest()}"'
    headers = {
        "ETag": etag,
        "Cache-Control": KEPT if version == digest() else ASKED_AGAIN,
        "Vary": "Accept-Encoding",
    }
    if matches(request.headers.get("if-none-match"), etag, weakly=True):
        return Response(status_code=304, headers=headers)
    body = content(name)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"], body = "gzip", packed(name)
    return Response(body, headers=headers, media_type=TYPES[Path(name).suffix])


def address(name: str) -> str:
    """Where a page finds this file. Raises KeyError for one that is not there."""
    if name not in names():
        raise KeyError(name)
    return f"/static/{digest()}/{name}"


@cache
def names() -> frozenset[str]:
    """All that is sent: nothing beside these is ever opened."""
    found = (file for file in FOLDER.rglob("*") if file.is_file() and file.suffix in TYPES)
    return frozenset(file.relative_to(FOLDER).as_posix() for file in found)


@cache
def content(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


@cache
def packed(name: str) -> bytes:
    return gzip.compress(content(name), mtime=0)


@cache
def digest() -> str:
    """Of all files together."""
    whole = hashlib.sha256()
    for name in sorted(names()):
        whole.update(name.encode() + b"\0" + hashlib.sha256(content(name)).digest())
    return whole.hexdigest()[:16]
