"""Sending a large file so that a broken line, or a service that is started again, costs some seconds and no more."""

import time
from collections.abc import Mapping
from typing import Any

import httpx

from pith.errors import PithError
from pith.resources import Upload
from pith.transfer import Outgoing
from pith.wire import Wire, decode

PATH = "/v1/uploads"
PATIENCE_SECONDS = 60.0
RETRY_SECONDS = 0.5
_RETRIED = {"unreachable", "unavailable", "upload_interrupted", "upload_busy", "upload_offset_mismatch"}


def send(wire: Wire, outgoing: Outgoing, params: Mapping[str, Any]) -> str:
    """The path of what the file has become.

    Raises:
        PithError: also when the service stays away for a minute.
    """
    made = wire.call("POST", PATH, params=params, headers={"Upload-Length": str(outgoing.size)})
    path = f"{PATH}/{decode(Upload, made).id}"
    offset, heard = 0, time.monotonic()
    while True:
        try:
            answer = _put(wire, path, outgoing, offset) if offset < outgoing.size else wire.call("GET", path)
            return answer.headers["content-location"]
        except PithError as error:
            if error.code not in _RETRIED or time.monotonic() - heard > PATIENCE_SECONDS:
                raise
        time.sleep(RETRY_SECONDS)
        if (there := _offset(wire, path, offset)) > offset:
            heard = time.monotonic()
        offset = there


def _put(wire: Wire, path: str, outgoing: Outgoing, offset: int) -> httpx.Response:
    said = {
        "Content-Length": str(outgoing.size - offset),
        "Content-Range": f"bytes {offset}-{outgoing.size - 1}/{outgoing.size}",
        "Content-Type": "application/octet-stream",
    }
    return wire.call("PUT", path, content=outgoing.pieces(offset), headers=said)


def _offset(wire: Wire, path: str, before: int) -> int:
    """How far the upload is; as far as it was when nobody answers."""
    try:
        return int(wire.call("HEAD", path).headers["upload-offset"])
    except PithError as error:
        if error.code not in _RETRIED:
            raise
        return before
