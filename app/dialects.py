"""What requests and answers of an upload in parts say in their headers: tus 1.0 with its extensions creation, checksum,
expiration and termination (https://tus.io/protocols/resumable-upload); Resumable Uploads for HTTP (the IETF's
draft-ietf-httpbis-resumable-upload); Content-Range (RFC 9110, section 14.4), as ``curl -C OFFSET -T`` sends it.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from email.utils import format_datetime

from starlette.requests import Request

from app.resumable import Checksum, Part
from pith.errors import PithError
from pith.pointers import malformed
from pith.resources import Upload

TUS = "1.0.0"
DRAFT_INTEROP = "6"
"""The version of the draft that tus-js-client speaks as ietf-draft-05; the later ones send no such header."""
ALGORITHMS = {"sha1": 20, "sha256": 32}
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


def options(limit: int) -> dict[str, str]:
    """What is spoken here."""
    return {
        "Tus-Resumable": TUS,
        "Tus-Version": TUS,
        "Tus-Extension": "creation,creation-defer-length,creation-with-upload,expiration,checksum,termination",
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        "Tus-Max-Size": str(limit),
        "Upload-Limit": f"max-size={limit}",
    }


def described(upload: Upload, request: Request) -> dict[str, str]:
    """How an upload stands, in all ways of speaking; nobody minds the headers of the others."""
    found = {
        "Upload-Offset": str(upload.offset),
        "Upload-Complete": "?1" if upload.model or upload.dataset else "?0",
        "Upload-Expires": format_datetime(upload.expires_at, usegmt=True),
    }
    if upload.length is not None:
        found["Upload-Length"] = str(upload.length)
    else:
        found["Upload-Defer-Length"] = "1"
    if upload.model is not None:
        found["Content-Location"] = f"/v1/models/{upload.model}"
    if upload.dataset is not None:
        found["Content-Location"] = f"/v1/datasets/{upload.dataset}"
    if "tus-resumable" in request.headers:
        found["Tus-Resumable"] = TUS
    if "upload-draft-interop-version" in request.headers:
        found["Upload-Draft-Interop-Version"] = DRAFT_INTEROP
    return found


def speaks_tus(request: Request) -> bool:
    """Raises PithError ``tus_version``."""
    given = request.headers.get("tus-resumable")
    if given not in (None, TUS):
        raise PithError("tus_version", given=given[:20])
    return given is not None


def length(request: Request) -> int | None:
    """Of the whole upload, where the request that creates it says so."""
    if request.headers.get("upload-complete") == "?1" and "content-length" in request.headers:
        return _number(request, "content-length")
    return _number(request, "upload-length")


def metadata(request: Request) -> Mapping[str, str]:
    """tus: ``Upload-Metadata: name BASE64,…``."""
    found = {}
    for pair in filter(None, (part.strip() for part in request.headers.get("upload-metadata", "").split(","))):
        name, _, value = pair.partition(" ")
        try:
            found[name] = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as fault:
            raise _wrong("upload-metadata", f"{name[:100]} should be UTF-8 in base64") from fault
    return found


def brings_body(request: Request) -> bool:
    """Whether the request that creates an upload has bytes of it, or all of them."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if speaks_tus(request):
        return kind == "application/offset+octet-stream"
    return "upload-complete" in request.headers


def check_creation(request: Request) -> None:
    """
    Raises:
        PithError: ``tus_version``, ``malformed_request``, ``media_type_not_supported`` for a body that would be lost.
    """
    lengths = {"upload-length", "upload-defer-length"} & set(request.headers.keys())
    if speaks_tus(request) and len(lengths) != 1:
        raise _wrong("upload-length", "should be there, or Upload-Defer-Length: 1, and not both")
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    if has_body and not brings_body(request):
        given = repr(request.headers.get("content-type", "")[:100])
        wanted = "no body, or the file's first bytes as tus or the IETF's draft send them (Upload-Complete: ?0)"
        raise PithError("media_type_not_supported", path=request.url.path, wanted=wanted, given=given)


def appended(request: Request) -> Part:
    """A PATCH.

    Raises:
        PithError: ``malformed_request``, ``media_type_not_supported``, ``tus_version``.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in ("application/offset+octet-stream", "application/partial-upload"):
        wanted = "application/offset+octet-stream (tus) or application/partial-upload"
        raise PithError("media_type_not_supported", path=request.url.path, wanted=wanted, given=repr(kind[:100]))
    speaks_tus(request)
    offset = _number(request, "upload-offset")
    if offset is None:
        raise _wrong("upload-offset", "is missing: where these bytes begin")
    return Part(offset, _number(request, "upload-length"), _is_last(request), _checksum(request))


def put(request: Request) -> Part:
    """A PUT: the part that Content-Range says, or all from the beginning."""
    given = request.headers.get("content-range")
    if given is None:
        return Part(None, last=True, checksum=_checksum(request))
    match = _RANGE.fullmatch(given.strip())
    if match is None or int(match[1]) > int(match[2]):
        raise _wrong("content-range", "should be bytes FIRST-LAST/LENGTH, such as bytes 0-9/10")
    size = int(match[2]) - int(match[1]) + 1
    if _number(request, "content-length") not in (None, size):
        raise _wrong("content-range", f"says {size} bytes, and Content-Length another number")
    return Part(int(match[1]), None if match[3] == "*" else int(match[3]), checksum=_checksum(request))


def created(request: Request) -> Part:
    """The bytes that come with the request that creates the upload."""
    return Part(0, last=_is_last(request), checksum=_checksum(request))


def _is_last(request: Request) -> bool:
    given = request.headers.get("upload-complete", "?0").strip()
    if given not in ("?0", "?1"):
        raise _wrong("upload-complete", "should be ?0 or ?1")
    return given == "?1"


def _checksum(request: Request) -> Checksum | None:
    given = request.headers.get("upload-checksum")
    if given is None:
        return None
    algorithm, _, value = given.strip().partition(" ")
    if algorithm not in ALGORITHMS:
        raise _wrong("upload-checksum", f"should be one of {', '.join(ALGORITHMS)}, then base64")
    try:
        expected = base64.b64decode(value, validate=True)
    except binascii.Error:
        expected = b""
    if len(expected) != ALGORITHMS[algorithm]:
        raise _wrong("upload-checksum", f"should be {ALGORITHMS[algorithm]} bytes in base64 after {algorithm}")
    return Checksum(algorithm, expected)


def _number(request: Request, name: str) -> int | None:
    given = request.headers.get(name)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise _wrong(name, "should be a number of bytes")
    return int(given)


def _wrong(header: str, message: str) -> PithError:
    return malformed([{"loc": ("header", header), "type": "value_error", "msg": message}], None)
