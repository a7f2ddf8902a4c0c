"""One bucket of an S3-compatible server: objects in and out, and what can go wrong, told plainly. It knows no blobs.

Every request is signed over the SHA-256 of its bytes, so that a server that checks signatures checks on arrival what it
was sent, whichever checksum headers it knows.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple

from pith.errors import PithError
from store.s3_keys import CHECK
from store.settings import Settings

CONNECT_SECONDS = 5
READ_SECONDS = 30
_ATTEMPTS = 3
_CONNECTIONS = 32
_GONE = ("404", "NoSuchKey", "NoSuchUpload", "NotFound")
_FULL = ("QuotaExceeded", "EntityTooLarge", "InsufficientStorage", "XMinioStorageFull", "507")
_REFUSED = {
    "NoSuchBucket": ("PITH_BLOB_URL", "the server has no such bucket; create it, or name another"),
    "PermanentRedirect": ("PITH_S3_REGION", "the bucket is in another region"),
    "AuthorizationHeaderMalformed": ("PITH_S3_REGION", "the bucket is in another region"),
    "SignatureDoesNotMatch": ("PITH_S3_SECRET_ACCESS_KEY", "the server does not take a signature made with it"),
    "InvalidAccessKeyId": ("PITH_S3_ACCESS_KEY_ID", "the server does not know it"),
    "AccessDenied": ("PITH_BLOB_URL", "these credentials may not write there"),
}


class Gone(Exception):
    """There is no such object, or no such upload."""


class Found(NamedTuple):
    """An object, or an upload that is not complete (its id is ``upload``)."""

    key: str
    at: datetime
    upload: str = ""


class Part(NamedTuple):
    """One part of an upload: its number and what the server calls its bytes."""

    number: int
    etag: str


class Bucket:
    """The bucket and the prefix of ``Settings.blob_url``. One per process, shared by its threads.

    Every method raises PithError ``unavailable`` when the server does not answer or refuses, and ``storage_full``.

    Raises:
        PithError: ``setting_refused``: boto3 is not installed.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.blob_url
        self._name, _, prefix = settings.blob_url.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client, self._errors = _client(settings)

    def check(self) -> None:
        """Store a small object and take it away again.

        Raises:
            PithError: ``setting_refused``: no such bucket, or the credentials are wrong; it says which.
        """
        try:
            with self._failing():
                self._client.put_object(Bucket=self._name, Key=self._prefix + CHECK, Body=b"pith")
                self._client.delete_object(Bucket=self._name, Key=self._prefix + CHECK)
        except PithError as error:
            raise self._refusal(error.__cause__) or error from error.__cause__

    def put(self, key: str, data: bytes) -> None:
        with self._failing(len(data)):
            self._client.put_object(**self._at(key), Body=data)

    def begin(self, key: str) -> str:
        """The id of an upload in parts; nothing is seen of it under its key before ``complete``."""
        with self._failing():
            return str(self._client.create_multipart_upload(**self._at(key))["UploadId"])

    def put_part(self, key: str, upload: str, number: int, data: bytes) -> Part:
        """``number`` counts from 1. Raises Gone."""
        with self._failing(len(data)):
            answer = self._client.upload_part(**self._at(key), UploadId=upload, PartNumber=number, Body=data)
        return Part(number, answer["ETag"])

    def complete(self, key: str, upload: str, parts: Sequence[Part]) -> None:
        """Raises Gone."""
        listed = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        with self._failing():
            self._client.complete_multipart_upload(**self._at(key), UploadId=upload, MultipartUpload={"Parts": listed})

    def parts(self, key: str, upload: str) -> Sequence[Part]:
        """Those that have arrived. Raises Gone."""
        with self._failing():
            pages = self._client.get_paginator("list_parts").paginate(**self._at(key), UploadId=upload)
            return [Part(part["PartNumber"], part["ETag"]) for page in pages for part in page.get("Parts", ())]

    def abort(self, key: str, upload: str) -> None:
        """Forget the parts. Harmless when there is no such upload."""
        try:
            with self._failing():
                self._client.abort_multipart_upload(**self._at(key), UploadId=upload)
        except Gone:
            return

    def open(self, key: str, start: int = 0, end: int | None = None) -> BinaryIO:
        """The bytes from ``start`` up to, and without, ``end``. Raises Gone; close it."""
        wanted = {} if (start, end) == (0, None) else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        with self._failing():
            body: BinaryIO = self._client.get_object(**self._at(key), **wanted)["Body"]
        return body

    def read(self, body: BinaryIO, most: int) -> bytes:
        """The next bytes of what ``open`` gave; none at its end."""
        with self._failing():
            return body.read(most)

    def size(self, key: str) -> int:
        """Raises Gone."""
        with self._failing():
            return int(self._client.head_object(**self._at(key))["ContentLength"])

    def delete(self, key: str) -> None:
        """Harmless when there is no such object."""
        with self._failing():
            self._client.delete_object(**self._at(key))

    def objects(self, folder: str) -> Iterator[Sequence[Found]]:
        """All objects below, in lists of up to a thousand."""
        yield from self._listed("list_objects_v2", "Contents", "LastModified", folder)

    def uploads(self, folder: str) -> Iterator[Sequence[Found]]:
        """All uploads in parts below that are not complete; ``at`` is when something of it came last."""
        for page in self._listed("list_multipart_uploads", "Uploads", "Initiated", folder):
            yield [found._replace(at=self._last_part(found)) for found in page]

    def _last_part(self, found: Found) -> datetime:
        try:
            with self._failing():
                pages = self._client.get_paginator("list_parts").paginate(**self._at(found.key), UploadId=found.upload)
                return max((part["LastModified"] for page in pages for part in page.get("Parts", ())), default=found.at)
        except Gone:
            return found.at

    def _listed(self, operation: str, what: str, at: str, folder: str) -> Iterator[Sequence[Found]]:
        pages = iter(self._client.get_paginator(operation).paginate(Bucket=self._name, Prefix=self._prefix + folder))
        while True:
            with self._failing():
                page = next(pages, None)
            if page is None:
                return
            yield [self._found(row, at) for row in page.get(what, ())]

    def _found(self, row: Mapping[str, Any], at: str) -> Found:
        return Found(row["Key"].removeprefix(self._prefix), row[at], row.get("UploadId", ""))

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._name, "Key": self._prefix + key}

    @contextmanager
    def _failing(self, needed: int = 0) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            code = _code(error)
            if code in _GONE:
                raise Gone(code) from error
            if code in _FULL:
                raise PithError("storage_full", needed=needed or "Some") from error
            raise PithError("unavailable", what="The storage") from error

    def _refusal(self, error: BaseException | None) -> PithError | None:
        """What has to be set otherwise; None when it is not known to be a setting."""
        if error is None:
            return None
        if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "NoRegionError"):
            return PithError("setting_refused", name="PITH_BLOB_URL", value=self._url, reason=str(error).rstrip("."))
        code = _code(error)
        if code not in _REFUSED:
            return None
        name, reason = _REFUSED[code]
        value = self._url if name == "PITH_BLOB_URL" else "what it is"
        return PithError("setting_refused", name=name, value=value, reason=f"{reason} ({code})")


def _client(settings: Settings) -> tuple[Any, tuple[type[Exception], ...]]:
    try:
        import boto3  # noqa: PLC0415 - optional
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    except ImportError:
        reason = "boto3 is not installed; pip install 'pith[s3]'"
        raise PithError("setting_refused", name="PITH_BLOB_URL", value=settings.blob_url, reason=reason) from None
    config = Config(
        signature_version="s3v4",
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=_CONNECTIONS,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"payload_signing_enabled": True, "addressing_style": "path" if settings.s3_endpoint_url else "auto"},
    )
    secret = settings.s3_secret_access_key
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=settings.s3_endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=None if secret is None else secret.get_secret_value(),
        config=config,
    )
    return client, (BotoCoreError, ClientError)


def _code(error: BaseException) -> str:
    said = getattr(error, "response", None) or {}
    return str(said.get("Error", {}).get("Code", ""))
