"""Blobs in a bucket of an S3-compatible server, for any number of machines that share it and the database.

Bytes go out in parts while they arrive, under a key that nobody else knows; they become a blob when the database says
so, in one transaction. Nothing of them is ever on this machine's disk.
"""

import hashlib
import logging
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from pith.artifact import Digest
from pith.errors import PithError
from store.blob_writer import Stored, poured
from store.database import Database
from store.disk import full_told_plainly
from store.objects import Object, Objects
from store.s3 import Bucket, Found, Gone, Part
from store.s3_keys import FOLDER, TAILS, part_bytes
from store.s3_partial import S3Partials
from store.settings import Settings

_AHEAD = 2
_THREADS = 16
_PIECE = 2**20
_TRIES = 4
_log = logging.getLogger(__name__)


class S3Blobs:
    """See ``store.blobs.Blobs``. One per process, shared by its threads."""

    def __init__(self, bucket: Bucket, db: Database) -> None:
        self.bucket = bucket
        self.objects = Objects(db)
        self._partials = S3Partials(bucket, db, self._place)
        self._sending = ThreadPoolExecutor(_THREADS, "s3-part")

    def writer(self) -> "S3Writer":
        return S3Writer(self, self._sending)

    def put_file(self, path: Path) -> Stored:
        return poured(path, self.writer)

    def read(self, digest: Digest, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        size = self.objects.find(digest).size
        end = size if end is None else min(end, size)
        return self._pieces(digest, self._open(digest, start, end), start, end)

    def size(self, digest: Digest) -> int:
        return self.objects.find(digest).size

    def link_to(self, digest: Digest, target: Path) -> None:
        """A copy, whose digest is checked on the way."""
        pieces, found = self.read(digest), hashlib.sha256()
        with full_told_plainly(self.size(digest)), target.open("xb") as copy:
            try:
                for piece in pieces:
                    found.update(piece)
                    copy.write(piece)
                copy.flush()
                os.fchmod(copy.fileno(), 0o444)
                if f"sha256:{found.hexdigest()}" != digest:
                    raise PithError("blob_missing", digest=digest, what="an earlier upload")
            except BaseException:
                target.unlink()
                raise

    def settle(self, digest: Digest) -> None:
        """Never raises, as what refers to the blob is committed: a pin that stays is dropped when it is old."""
        try:
            self.objects.settle(digest)
        except PithError as error:
            _log.warning("%s stays pinned for a while: %s", digest, error)

    def delete(self, digest: Digest, referred: Callable[[Digest], bool]) -> bool:
        """An object that cannot be deleted now, as the server is away, is deleted by the next sweep."""
        key, gone = self.objects.doom(digest, referred)
        if key is not None:
            self._remove(key)
        return gone

    def older_than(self, seconds: float) -> Iterator[Digest]:
        """Also deletes what dead writers have left, and what could not be deleted when it should have been."""
        old = self.objects.older_than(seconds)
        self._sweep(time.time() - seconds)
        yield from old

    def partials(self) -> S3Partials:
        return self._partials

    def check_writable(self) -> None:
        try:
            self.bucket.check()
        except PithError as error:
            if error.code == "unavailable":
                raise
            raise PithError("unavailable", what=f"The storage ({error.problem.detail.rstrip('.')})") from error

    def placed(self, digest: Digest, fresh: Object) -> None:
        """Make an object, which is complete, that blob, and pin it; or take it away where the blob is already."""
        while (kept := self.objects.pin(digest, fresh)) != fresh:
            if self._is_whole(kept):
                self._drop(fresh.key)
                return
            if self.objects.replace(digest, kept, fresh):
                self._remove(kept.key)
                return

    def _place(self, digest: Digest, fresh: Object | None) -> None:
        if fresh is None:
            self.objects.pin_again(digest)
        else:
            self.placed(digest, fresh)

    def _sweep(self, before: float) -> None:
        """Of what was written before, delete what no process can still want."""
        keys, tails = self._partials.named()
        for page in self.bucket.objects(FOLDER):
            self.objects.doom_strays({_name(found) for found in page if found.at.timestamp() < before} - keys)
        for key in self.objects.doomed():
            self._remove(key)
        for page in self.bucket.uploads(FOLDER):
            for found in page:
                if found.at.timestamp() < before and _name(found) not in keys:
                    self.bucket.abort(found.key, found.upload)
        for page in self.bucket.objects(TAILS):
            for found in page:
                if found.at.timestamp() < before and found.key.removeprefix(TAILS) not in tails:
                    self.bucket.delete(found.key)

    def _is_whole(self, kept: Object) -> bool:
        try:
            return self.bucket.size(FOLDER + kept.key) == kept.size
        except Gone:
            return False

    def _open(self, digest: Digest, start: int, end: int) -> BinaryIO:
        """The object may be replaced while it is read; then another has the same bytes."""
        for _ in range(_TRIES):
            kept = self.objects.find(digest)
            try:
                whole = start == 0 and end == kept.size
                return self.bucket.open(FOLDER + kept.key, start, None if whole else end)
            except Gone:
                if self.objects.find(digest) == kept:
                    break
        raise PithError("blob_missing", digest=digest, what="an earlier upload")

    def _pieces(self, digest: Digest, body: BinaryIO, at: int, end: int) -> Iterator[bytes]:
        """A connection that breaks is made anew, from where it broke."""
        broken = 0
        while True:
            try:
                with closing(body):
                    while at < end and (piece := self.bucket.read(body, min(_PIECE, end - at))):
                        at += len(piece)
                        yield piece
                return
            except PithError:
                broken += 1
                if broken == _TRIES:
                    raise
            body = self._open(digest, at, end)

    def _remove(self, key: str) -> None:
        """Delete a doomed object."""
        if self._drop(key):
            self.objects.forget(key)

    def _drop(self, key: str) -> bool:
        try:
            self.bucket.delete(FOLDER + key)
        except PithError as error:
            _log.warning("object %s is left to the next sweep: %s", key, error)
            return False
        return True


class S3Writer:
    """See ``store.blobs.BlobWriter``. At most four parts are in memory; those that are full go out meanwhile."""

    def __init__(self, blobs: S3Blobs, sending: ThreadPoolExecutor) -> None:
        self._blobs = blobs
        self._hash = hashlib.sha256()
        self._size = 0
        self._name = secrets.token_hex(16)
        self._parts = Outgoing(blobs.bucket, FOLDER + self._name, sending)

    def write(self, data: bytes) -> None:
        try:
            self._parts.write(data)
        except BaseException:
            self.abort()
            raise
        self._hash.update(data)
        self._size += len(data)

    def commit(self, expected: Digest | None = None) -> Stored:
        digest = f"sha256:{self._hash.hexdigest()}"
        try:
            if expected not in (None, digest):
                raise PithError("digest_mismatch", actual=digest, expected=expected)
            self._parts.complete()
            self._blobs.placed(digest, Object(self._name, self._size))
        finally:
            self.abort()
        return Stored(digest, self._size)

    def abort(self) -> None:
        self._parts.abort()


class Outgoing:
    """Bytes on their way into one object: in parts, or at once where they are one part or less."""

    def __init__(self, bucket: Bucket, key: str, sending: ThreadPoolExecutor) -> None:
        self._bucket, self._key, self._sending = bucket, key, sending
        self._buffer = bytearray()
        self._upload = ""
        self._number = 0
        self._flying: deque[Future[Part]] = deque()
        self._parts: list[Part] = []

    def write(self, data: bytes) -> None:
        """Raises PithError ``unavailable``, ``storage_full``."""
        self._buffer += data
        while len(self._buffer) >= (size := part_bytes(self._number + 1)):
            self._send(bytes(self._buffer[:size]))
            del self._buffer[:size]

    def complete(self) -> None:
        """Raises PithError ``unavailable``, ``storage_full``; the object may be there all the same, as a stray."""
        if not self._upload:
            self._bucket.put(self._key, bytes(self._buffer))
            return
        if self._buffer:
            self._send(bytes(self._buffer))
        self._landed(0)
        try:
            self._bucket.complete(self._key, self._upload, self._parts)
        except Gone as error:  # swept, or aborted by hand
            raise PithError("unavailable", what="The storage") from error
        self._upload = ""

    def abort(self) -> None:
        """Harmless after ``complete`` or another ``abort``. What the server still has of it is swept."""
        upload, self._upload = self._upload, ""
        self._buffer.clear()
        while self._flying:
            one = self._flying.popleft()
            one.cancel()
            one.exception() if not one.cancelled() else None
        if upload:
            try:
                self._bucket.abort(self._key, upload)
            except PithError as error:
                _log.warning("parts of %s are left to the next sweep: %s", self._key, error)

    def _send(self, data: bytes) -> None:
        if not self._upload:
            self._upload = self._bucket.begin(self._key)
        self._landed(_AHEAD)
        self._number += 1
        self._flying.append(self._sending.submit(self._bucket.put_part, self._key, self._upload, self._number, data))

    def _landed(self, most: int) -> None:
        """Wait until no more than so many parts are on their way."""
        while len(self._flying) > most:
            try:
                self._parts.append(self._flying.popleft().result())
            except Gone as error:
                raise PithError("unavailable", what="The storage") from error


def open_s3(settings: Settings, db: Database) -> S3Blobs:
    """Raises PithError ``setting_refused`` or ``unavailable``: the bucket cannot be written to."""
    bucket = Bucket(settings)
    bucket.check()
    return S3Blobs(bucket, db)


def _name(found: Found) -> str:
    return found.key.removeprefix(FOLDER)
