"""Uploads: what is to become of bytes that arrive in parts. The bytes are in ``store.partial``."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from pith.access import DEFAULT_PROJECT
from pith.artifact import Digest
from pith.dataset import DatasetSchema
from pith.errors import PithError
from pith.ids import ProjectId, UploadId, new_id
from pith.intake import Architecture
from pith.resources import Dataset, Model, Page, Upload, UploadOf
from store import clock, idempotency, listing, quotas, tags
from store.blobs import Blobs
from store.database import Database
from store.idempotency import Key
from store.partial import PartialFile, Partials
from store.quotas import Room
from store.resources import Resources, datasets, models
from store.tables import UploadRow

AFTERWARDS_SECONDS = 24 * 3600
"""How long a finished upload can still be asked about."""
LISTING = "/v1/uploads"


def open_uploads(db: Database, blobs: Blobs, expire_seconds: float, project: ProjectId | None = None) -> "Uploads":
    """Those of one project, or of all for None."""
    resources: dict[UploadOf, Any] = {"model": models(db, blobs, project), "dataset": datasets(db, blobs, project)}
    return Uploads(db, blobs.partials(), resources, expire_seconds, project)


class Uploads:
    """``expire_seconds``: how long an upload waits for its next byte."""

    def __init__(
        self,
        db: Database,
        partials: Partials,
        resources: Mapping[UploadOf, Resources[Model] | Resources[Dataset]],
        expire_seconds: float,
        project: ProjectId | None = None,
    ) -> None:
        self._db = db
        self.partials = partials
        self._resources = resources
        self.expire_seconds = expire_seconds
        self.project = project

    def create(
        self,
        kind: UploadOf,
        name: str,
        length: int | None,
        expected: Digest | None,
        given: Architecture | DatasetSchema | None,
        key: Key | None = None,
        tagged: Sequence[str] = (),
    ) -> Upload:
        """Or the one that was begun under this key before.

        Raises:
            PithError: ``storage_full``, ``quota_exceeded``, ``idempotency_key_reused``; ``not_found`` when that one has
                expired.
        """
        project = self.project or DEFAULT_PROJECT
        with self._db.session() as session:
            id = new_id("upl")
            before = None if key is None else idempotency.taken(session, project, key, id)
            if before is not None:
                return self._contract(self._find(session, before))
            row = UploadRow(
                id=id,
                project=project,
                kind=kind,
                name=name,
                length=length,
                expected=expected,
                declared=None if given is None else given.model_dump(mode="json"),
                created_at=clock.now(session),
                expires_at=self._expiry(session),
            )
            session.add(row)
            session.flush()
            tags.write(session, id, tagged)
            quotas.check_storage(session, project)
            self.partials.create(row.id)
            return self._contract(row)

    def room(self, most: int) -> Room:
        return quotas.room(self._db, self.project or DEFAULT_PROJECT, most)

    def get(self, id: str) -> Upload:
        """Raises PithError ``not_found``; an upload that has expired is not there."""
        with self._db.reader() as session:
            return self._contract(self._find(session, id))

    def peek(self, id: str) -> Upload | None:
        """None when there is no such upload, or nobody can tell."""
        try:
            return self.get(id)
        except PithError:
            return None

    def list(self, limit: int = 50, cursor: str | None = None) -> Page[Upload]:
        """Newest first, at most 200. Raises PithError ``bad_cursor``."""
        with self._db.reader() as session:
            query = select(UploadRow).where(UploadRow.expires_at > clock.now_plus(), *self._own())
            query = listing.page_of(query, UploadRow.id, "upl", limit, cursor)
            rows, after = listing.cut(session.scalars(query).all(), limit)
            return Page(data=tuple(map(self._contract, rows)), next_cursor=after)

    def touch(self, id: UploadId) -> Upload:
        """Bytes have come: it expires later."""
        with self._db.session() as session:
            row = self._find(session, id, lock=True)
            if row.resource_id is None:
                row.expires_at = self._expiry(session)
            return self._contract(row)

    def set_length(self, id: UploadId, length: int) -> Upload:
        """Raises PithError ``upload_length_changed``, when another was said before."""
        with self._db.session() as session:
            row = self._find(session, id, lock=True)
            if row.length not in (None, length):
                raise PithError("upload_length_changed", before=row.length, now=length)
            row.length = length
            session.flush()
            quotas.check_storage(session, row.project)
            return self._contract(row)

    def complete(self, id: UploadId, file: PartialFile) -> Model | Dataset:
        """A model or dataset of the bytes, whose check is queued, and the upload that names it, in one transaction.

        Raises:
            PithError: ``not_found``, ``storage_full``, ``quota_exceeded``, or ``digest_mismatch``, after which there is
                no such upload any more: no byte that could come would mend it.
        """
        with self._db.reader() as session:
            row = self._find(session, id)
        try:
            stored = file.commit(row.expected)
        except PithError as error:
            if error.code == "digest_mismatch":
                self.delete(id)
            raise

        def note(session: Session, resource: str) -> None:
            statement = update(UploadRow).where(UploadRow.id == id, UploadRow.resource_id.is_(None))
            until = clock.now_plus(AFTERWARDS_SECONDS)
            done = statement.values(resource_id=resource, length=stored.size, expires_at=until)
            if not session.scalar(done.returning(UploadRow.id)):
                raise PithError("not_found", what="upload", id=id, listing=LISTING)
            tags.hand_on(session, id, resource)

        made = self._resources[cast(UploadOf, row.kind)].create(row.name, *stored, _given(row), note)
        self.partials.remove(id)
        return made

    def resource(self, upload: Upload) -> Model | Dataset | None:
        """What a complete upload has become. Raises PithError ``not_found`` when that was deleted."""
        if (id := upload.model or upload.dataset) is None:
            return None
        return self._resources[upload.of].get(id)

    def delete(self, id: str) -> None:
        """Forget it; what it has become stays. Raises PithError ``not_found``."""
        with self._db.session() as session:
            session.delete(self._find(session, id, lock=True))
            tags.remove(session, id)
        self.partials.remove(id)

    def expire(self) -> int:
        """Forget uploads that wait too long, and files of uploads that are not there; how many there were."""
        with self._db.session() as session:
            query = select(UploadRow).where(UploadRow.expires_at <= clock.now_plus()).limit(100)
            rows = session.scalars(query.with_for_update(skip_locked=True)).all()
            tags.remove(session, *(row.id for row in rows))
            for row in rows:
                session.delete(row)
        for row in rows:
            self.partials.remove(row.id)
        orphans = [id for id in self.partials.older_than(self.expire_seconds) if not self._is_waiting(id)]
        for id in orphans:
            self.partials.remove(id)
        return len({*orphans, *(row.id for row in rows)})

    def _is_waiting(self, id: str) -> bool:
        with self._db.reader() as session:
            found = select(UploadRow.id).where(UploadRow.id == id, UploadRow.resource_id.is_(None))
            return session.scalar(found) is not None

    def _expiry(self, session: Session) -> datetime:
        return clock.later(session, self.expire_seconds)

    def _find(self, session: Session, id: str, lock: bool = False) -> UploadRow:
        query = select(UploadRow).where(UploadRow.id == id, UploadRow.expires_at > clock.now_plus(), *self._own())
        row = None
        if listing.is_id("upl", id):
            row = session.scalars(query.with_for_update() if lock else query).one_or_none()
        if row is None:
            raise PithError("not_found", what="upload", id=id[:64], listing=LISTING)
        return row

    def _own(self) -> tuple[ColumnElement[bool], ...]:
        return () if self.project is None else (UploadRow.project == self.project,)

    def _contract(self, row: UploadRow) -> Upload:
        done = row.resource_id is not None
        here = row.length if done else self.partials.size(row.id)
        return Upload(
            id=row.id,
            of=cast(UploadOf, row.kind),
            name=row.name,
            offset=here or 0,
            length=row.length,
            created_at=row.created_at,
            expires_at=row.expires_at,
            model=row.resource_id if row.kind == "model" else None,
            dataset=row.resource_id if row.kind == "dataset" else None,
        )


def _given(row: UploadRow) -> Any:
    if row.declared is None:
        return None
    return (Architecture if row.kind == "model" else DatasetSchema).model_validate(row.declared)
