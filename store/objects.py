"""Which object of the bucket holds which blob: the part of the blobs that all machines must agree on.

A key is given once and never again. A blob is taken away by its row first and by its object afterwards, so that no late
deletion, of whatever machine, can meet bytes that somebody wants.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pith.artifact import Digest
from pith.errors import PithError
from store import clock, paths
from store.database import Database
from store.tables import ObjectRow


class Object(NamedTuple):
    """An object: its key and its size in bytes."""

    key: str
    size: int


class Objects:
    def __init__(self, db: Database) -> None:
        self._db = db

    def find(self, digest: Digest) -> Object:
        """Raises PithError ``blob_missing``."""
        paths.hex_of(digest)
        with self._db.reader() as session:
            row = session.scalars(select(ObjectRow).where(ObjectRow.digest == digest)).one_or_none()
        if row is None:
            raise PithError("blob_missing", digest=digest, what="an earlier upload")
        return Object(row.key, row.size_bytes)

    def pin(self, digest: Digest, fresh: Object) -> Object:
        """The object that has these bytes, with one more pin: the fresh one, unless there was one before.

        Raises:
            PithError: ``unavailable``: the fresh one was taken for left behind, and is gone.
        """
        while True:
            try:
                with self._db.session() as session:
                    return self._pinned(session, digest, fresh)
            except IntegrityError:  # somebody was faster, with the same bytes or in deleting the fresh ones
                if self._is_doomed(fresh.key):
                    raise PithError("unavailable", what="The storage") from None

    def pin_again(self, digest: Digest) -> None:
        """One more pin. Raises PithError ``blob_missing``."""
        with self._db.session() as session:
            row = _locked(session, digest)
            if row is None:
                raise PithError("blob_missing", digest=digest, what="an earlier upload")
            row.pins += 1

    def replace(self, digest: Digest, before: Object, fresh: Object) -> bool:
        """Let the fresh object hold the bytes, as that from before is damaged; False when it does not hold them any
        more."""
        with self._db.session() as session:
            row = _locked(session, digest)
            if row is None or row.key != before.key:
                return False
            pins, row.digest, row.pins = row.pins, None, 0
            session.flush()
            session.add(_row(digest, fresh, clock.now(session), pins))
            return True

    def settle(self, digest: Digest) -> None:
        with self._db.session() as session:
            statement = update(ObjectRow).where(ObjectRow.digest == digest, ObjectRow.pins > 0)
            session.execute(statement.values(pins=ObjectRow.pins - 1))

    def doom(self, digest: Digest, referred: Callable[[Digest], bool]) -> tuple[str | None, bool]:
        """Take the digest from its object, unless that is pinned or the digest ``referred`` to: the key of the object
        that is now to be deleted, if there was one, and whether the blob is gone."""
        with self._db.session() as session:
            row = _locked(session, digest)
            if (row is not None and row.pins) or referred(digest):
                return None, False
            if row is None:
                return None, True
            row.digest = None
            return row.key, True

    def doom_strays(self, keys: Collection[str]) -> None:
        """Of these objects, those that are no blob can become none any more."""
        with self._db.reader() as session:
            known = set(session.scalars(select(ObjectRow.key).where(ObjectRow.key.in_(keys))))
        for key in set(keys) - known:
            try:
                with self._db.session() as session:
                    session.add(_row(None, Object(key, 0), clock.now(session)))
            except IntegrityError:  # it has become one just now
                continue

    def doomed(self) -> Sequence[str]:
        """The keys of objects that are to be deleted."""
        with self._db.reader() as session:
            return session.scalars(select(ObjectRow.key).where(ObjectRow.digest.is_(None))).all()

    def forget(self, key: str) -> None:
        """A doomed object is deleted."""
        with self._db.session() as session:
            session.execute(delete(ObjectRow).where(ObjectRow.key == key, ObjectRow.digest.is_(None)))

    def older_than(self, seconds: float) -> Sequence[Digest]:
        """Blobs that were stored longer ago; they lose their pins."""
        before = clock.now_plus(-seconds)
        with self._db.session() as session:
            session.execute(update(ObjectRow).where(ObjectRow.stored_at < before, ObjectRow.pins > 0).values(pins=0))
            found = select(ObjectRow.digest).where(ObjectRow.stored_at < before, ObjectRow.digest.is_not(None))
            return [digest for digest in session.scalars(found) if digest is not None]

    def _pinned(self, session: Session, digest: Digest, fresh: Object) -> Object:
        row = _locked(session, digest)
        if row is None:
            session.add(_row(digest, fresh, clock.now(session), pins=1))
            return fresh
        row.pins, row.stored_at = row.pins + 1, clock.now(session)
        return Object(row.key, row.size_bytes)

    def _is_doomed(self, key: str) -> bool:
        with self._db.reader() as session:
            return session.get(ObjectRow, key) is not None


def _locked(session: Session, digest: Digest) -> ObjectRow | None:
    paths.hex_of(digest)
    return session.scalars(select(ObjectRow).where(ObjectRow.digest == digest).with_for_update()).one_or_none()


def _row(digest: Digest | None, stored: Object, now: datetime, pins: int = 0) -> ObjectRow:
    return ObjectRow(key=stored.key, digest=digest, size_bytes=stored.size, stored_at=now, pins=pins)
