"""Uploads that arrive in parts on their way into a bucket, at any machine: one may go on where another has stopped.

Whole parts are an upload of S3's own, of which nothing is seen before the end; what came after them is an object, the
tail. A row of the database says how much of both counts, and is written after the bytes are in the bucket, so that the
offset that is told is never more than any other machine can see. Who writes holds the row for some seconds, and longer
while bytes come.
"""

import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from sqlalchemy import delete, select, update

from pith.artifact import Digest
from pith.errors import PithError
from pith.ids import UploadId
from store import clock
from store.blob_writer import Stored
from store.database import Database
from store.objects import Object
from store.s3 import Bucket, Gone, Part
from store.s3_keys import FOLDER, TAILS, part_bytes
from store.tables import ArrivingRow, UploadRow

HOLD_SECONDS = 4.0
"""Less than a request waits for one that another machine lets go of, or has died with."""
TAIL_SECONDS = 3.0
"""What comes over a slow line is in the bucket at least so often, and at once when nothing comes."""
_PIECE = 2**20
_log = logging.getLogger(__name__)

Place = Callable[[Digest, Object | None], None]


class S3Partials:
    """See ``store.partial.Partials``. ``place`` makes an object a blob and pins it; None for one that is a blob."""

    def __init__(self, bucket: Bucket, db: Database, place: Place, hold_seconds: float = HOLD_SECONDS) -> None:
        self.bucket = bucket
        self.db = db
        self.place = place
        self.hold_seconds = hold_seconds

    def create(self, id: UploadId) -> None:
        """Nothing: the row is made when the upload is opened, as a transaction makes the upload now."""

    def size(self, id: UploadId) -> int | None:
        with self.db.reader() as session:
            row = session.get(ArrivingRow, id)
            return None if row is None else row.sent + row.tail_bytes

    def open(self, id: UploadId) -> "S3PartialFile | None":
        holder = secrets.token_hex(16)
        with self.db.session() as session:
            waiting = select(UploadRow.id).where(UploadRow.id == id, UploadRow.resource_id.is_(None)).with_for_update()
            if session.scalar(waiting) is None:
                raise FileNotFoundError(id)
            row = session.scalars(select(ArrivingRow).where(ArrivingRow.id == id).with_for_update()).one_or_none()
            now, until = clock.now(session), clock.later(session, self.hold_seconds)
            if row is None:
                row = ArrivingRow(id=id, written_at=now, holder=None, held_until=now, digest=None, **_nothing())
                session.add(row)
            if row.holder is not None and row.held_until > now:
                return None
            row.holder, row.held_until = holder, until
        file = S3PartialFile(self, row, holder)
        try:
            file.load()
        except BaseException:
            file.close()
            raise
        return file

    def remove(self, id: UploadId) -> None:
        with self.db.session() as session:
            row = session.get(ArrivingRow, id)
            session.execute(delete(ArrivingRow).where(ArrivingRow.id == id))
        if row is not None:
            self.clear(row.key, row.upload, row.tail, whole=row.digest is not None)

    def older_than(self, seconds: float) -> Iterator[UploadId]:
        with self.db.reader() as session:
            old = select(ArrivingRow.id).where(ArrivingRow.written_at < clock.now_plus(-seconds))
            yield from session.scalars(old).all()

    def named(self) -> tuple[set[str], set[str]]:
        """The keys of objects and of tails that uploads still need."""
        with self.db.reader() as session:
            rows = session.execute(select(ArrivingRow.key, ArrivingRow.tail)).all()
        return {key for key, _ in rows}, {tail for _, tail in rows}

    def clear(self, key: str, upload: str, tail: str, whole: bool = False) -> None:
        """Take away what is of no use any more. What the server does not let go now, a sweep does."""
        try:
            if tail:
                self.bucket.delete(TAILS + tail)
            if upload and not whole:
                self.bucket.abort(FOLDER + key, upload)
            if not whole:
                self.bucket.delete(FOLDER + key)
        except PithError as error:
            _log.warning("parts of %s are left to the next sweep: %s", key, error)


class S3PartialFile:
    """See ``store.partial.PartialFile``. What is no whole part yet is in memory, and in the bucket after ``sync``."""

    def __init__(self, partials: S3Partials, row: ArrivingRow, holder: str) -> None:
        self._partials, self._bucket, self._id, self._holder = partials, partials.bucket, row.id, holder
        self._key, self._upload, self._parts, self._sent = row.key, row.upload, row.parts, row.sent
        self._tail, self._tail_bytes, self._digest = row.tail, row.tail_bytes, row.digest
        self._buffer = bytearray()
        self._own: dict[int, Part] = {}
        self._renewed = self._kept = time.monotonic()
        self._hash = None if self._sent + self._tail_bytes else hashlib.sha256()

    def load(self) -> None:
        """Take the tail back into memory."""
        if self._tail and not self.named:
            for piece in _pieces(self._bucket, TAILS + self._tail):
                self._buffer += piece
        self._saved = self._state()
        self._opened = self._saved, bytes(self._buffer)

    @property
    def offset(self) -> int:
        return self._sent + (self._tail_bytes if self.named else len(self._buffer))

    @property
    def named(self) -> bool:
        return self._digest is not None

    def write(self, data: bytes) -> None:
        assert not self.named
        self._buffer += data
        if self._hash is not None:
            self._hash.update(data)
        while len(self._buffer) >= (size := part_bytes(self._parts + 1)):
            self._send(size)
        if not data or time.monotonic() > self._kept + TAIL_SECONDS:
            self.sync()
        if time.monotonic() > self._renewed + self._partials.hold_seconds / 3:
            self._say()

    def back_to(self, offset: int) -> None:
        if offset == self.offset:
            return
        (key, upload, parts, sent, _), tail = self._opened
        if offset:
            assert sent <= offset <= sent + len(tail) and (key, upload or self._upload) == (self._key, self._upload)
            self._parts, self._sent, self._buffer = parts, sent, bytearray(tail[: offset - sent])
            self._hash = None
            return
        before, fresh = (self._key, self._upload, self._tail), _nothing()
        self._say(**fresh)
        for name, value in fresh.items():
            setattr(self, f"_{name}", value)
        self._buffer, self._own, self._hash = bytearray(), {}, hashlib.sha256()
        self._saved = self._state()
        self._partials.clear(*before)

    def sync(self) -> None:
        if self.named or self._state() == self._saved:
            return
        before, tail = self._tail, f"{self._key}.{secrets.token_hex(4)}" if self._buffer else ""
        if tail:
            self._bucket.put(TAILS + tail, bytes(self._buffer))
        self._keep(tail, len(self._buffer), before)

    def commit(self, expected: Digest | None) -> Stored:
        if self._digest is None:
            self.sync()
            self._finish()
            digest = f"sha256:{(self._hash or self._whole()).hexdigest()}"
            if expected not in (None, digest):
                raise PithError("digest_mismatch", actual=digest, expected=expected)
            self._say(digest=digest)
            self._tail_bytes, self._digest = self.offset - self._sent, digest
        self._partials.place(self._digest, Object(self._key, self.offset) if self._is_there() else None)
        return Stored(self._digest, self.offset)

    def close(self) -> None:
        try:
            with self._partials.db.session() as session:
                mine = update(ArrivingRow).where(ArrivingRow.id == self._id, ArrivingRow.holder == self._holder)
                session.execute(mine.values(holder=None))
        except PithError as error:
            _log.warning("upload %s is free again in %g seconds: %s", self._id, self._partials.hold_seconds, error)

    def _send(self, size: int) -> None:
        """The first bytes of the buffer, as the next part."""
        if not self._upload:
            self._upload = self._bucket.begin(FOLDER + self._key)
        try:
            self._put_part(size)
        except Gone as error:
            raise PithError("unavailable", what="The storage") from error
        del self._buffer[:size]
        self._parts, self._sent = self._parts + 1, self._sent + size
        self._keep("", 0, self._tail)

    def _put_part(self, size: int) -> None:
        number, data = self._parts + 1, bytes(self._buffer[:size])
        self._own[number] = self._bucket.put_part(FOLDER + self._key, self._upload, number, data)

    def _keep(self, tail: str, tail_bytes: int, before: str) -> None:
        """Make what is in the bucket now what counts."""
        where = {"key": self._key, "upload": self._upload, "parts": self._parts, "sent": self._sent}
        self._say(**where, tail=tail, tail_bytes=tail_bytes)
        self._tail, self._tail_bytes, self._kept = tail, tail_bytes, self._renewed
        self._saved = (*self._state()[:-1], tail_bytes)
        if before:
            self._partials.clear(self._key, "", before, whole=True)

    def _say(self, **values: Any) -> None:
        """Write to the row, which stays ours for some seconds more.

        Raises:
            PithError: ``upload_interrupted``: it is another's now.
        """
        with self._partials.db.session() as session:
            mine = update(ArrivingRow).where(ArrivingRow.id == self._id, ArrivingRow.holder == self._holder)
            until = clock.now_plus(self._partials.hold_seconds)
            values |= {"written_at": clock.now_plus(), "held_until": until}
            if not session.scalar(mine.values(**values).returning(ArrivingRow.id)):
                reason = "another request took the upload over, or ended it"
                raise PithError("upload_interrupted", received=0, reason=reason)
        self._renewed = time.monotonic()

    def _finish(self) -> None:
        """Make all bytes one object; again, if that was done before and a process died."""
        if not self._upload:
            self._bucket.put(FOLDER + self._key, bytes(self._buffer))
            return
        self._say(upload=self._upload)
        try:
            if self._buffer:
                self._put_part(len(self._buffer))
            count = self._parts + bool(self._buffer)
            found = [part for part in self._bucket.parts(FOLDER + self._key, self._upload) if part.number <= count]
            # A part of ours that somebody has overwritten since, who had lost the upload to us, is refused.
            mine = [self._own.get(part.number, part) for part in found]
            self._bucket.complete(FOLDER + self._key, self._upload, mine)
        except Gone as error:
            if not self._is_there():
                raise PithError("unavailable", what="The storage") from error

    def _is_there(self) -> bool:
        try:
            return self._bucket.size(FOLDER + self._key) == self.offset
        except Gone:
            return False

    def _whole(self) -> "hashlib._Hash":
        found, at = hashlib.sha256(), time.monotonic()
        for piece in _pieces(self._bucket, FOLDER + self._key):
            found.update(piece)
            if time.monotonic() > at + self._partials.hold_seconds / 3:
                self._say()
                at = time.monotonic()
        return found

    def _state(self) -> tuple[str, str, int, int, int]:
        return self._key, self._upload, self._parts, self._sent, len(self._buffer)


def _pieces(bucket: Bucket, key: str) -> Iterator[bytes]:
    try:
        with closing(bucket.open(key)) as body:
            while piece := bucket.read(body, _PIECE):
                yield piece
    except Gone as error:
        raise PithError("unavailable", what="The storage") from error


def _nothing() -> dict[str, Any]:
    return {"key": secrets.token_hex(16), "upload": "", "parts": 0, "sent": 0, "tail": "", "tail_bytes": 0}
