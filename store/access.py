"""Projects and their keys. A key's secret is shown once; what is kept is its SHA-256, which is enough for 256 random
bits."""

import hashlib
import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hmac import compare_digest
from typing import cast

from sqlalchemy import ColumnElement, exists, or_, select, update
from sqlalchemy.orm import Session

from pith.access import (
    DEFAULT_PROJECT,
    SCOPES,
    ApiKey,
    IssuedKey,
    NewKey,
    NewProject,
    Project,
    ProjectChange,
    Quotas,
    Scope,
    Usage,
)
from pith.errors import PithError
from pith.ids import KeyId, ProjectId, new_id
from pith.resources import Page
from store import clock, deletions, idempotency, listing, quotas
from store.database import Database
from store.idempotency import Key
from store.tables import ApiKeyRow, DatasetRow, JobRow, ModelRow, ProjectRow, UploadRow

BEGINS = 13
"""Characters of a secret that are kept: pith_ and eight of its own."""
SEEN_SECONDS = 60
KEYS, PROJECTS = "/v1/keys", "/v1/projects"
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(frozen=True)
class Caller:
    """Whom a request comes from. ``key`` is None for one that is trusted without a key."""

    project: ProjectId
    scopes: frozenset[Scope]
    name: str
    key: KeyId | None = None
    requests_per_minute: int | None = None
    project_name: str = ""


TRUSTED = Caller(DEFAULT_PROJECT, frozenset(SCOPES), "whoever reaches this service")


def _opens() -> tuple[ColumnElement[bool], ...]:
    """Conditions of a key that opens something."""
    alive = or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > clock.now_plus())
    return (ApiKeyRow.revoked_at.is_(None), alive)


def new_secret() -> str:
    begin = "".join(secrets.choice(_LETTERS) for _ in range(8))
    return f"pith_{begin}_{secrets.token_urlsafe(32)}"


class Keys:
    """Those of one project, or of all projects for None."""

    def __init__(self, db: Database, project: ProjectId | None = None) -> None:
        self._db = db
        self._project = project

    def create(self, asked: NewKey, caller: ProjectId = DEFAULT_PROJECT, key: Key | None = None) -> IssuedKey:
        """In ``asked.project``, or else the caller's. Sent again under an Idempotency-Key of the caller's project:
        the key that was made, without its secret.

        Raises:
            PithError: ``not_found`` for the project, ``idempotency_key_reused``.
        """
        project = asked.project or caller
        secret = new_secret()
        with self._db.session() as session:
            find_project(session, project)
            id = new_id("key")
            before = None if key is None else idempotency.taken(session, caller, key, id)
            if before is not None:
                return _issued(self._find(session, before), None)
            row = ApiKeyRow(
                id=id,
                project=project,
                name=asked.name,
                begins=secret[:BEGINS],
                digest=_digest(secret),
                scopes=" ".join(scope for scope in SCOPES if scope in asked.scopes),
                created_at=clock.now(session),
                expires_at=asked.expires_at,
            )
            session.add(row)
            session.flush()
            return _issued(row, secret)

    def get(self, id: str) -> ApiKey:
        """Raises PithError ``not_found``."""
        with self._db.reader() as session:
            return _contract(self._find(session, id))

    def list(self, limit: int = 50, cursor: str | None = None) -> Page[ApiKey]:
        """Newest first, also those that are revoked. Raises PithError ``bad_cursor``."""
        query = select(ApiKeyRow)
        if self._project is not None:
            query = query.where(ApiKeyRow.project == self._project)
        with self._db.reader() as session:
            query = listing.page_of(query, ApiKeyRow.id, "key", limit, cursor)
            rows, after = listing.cut(session.scalars(query).all(), limit)
            return Page(data=tuple(map(_contract, rows)), next_cursor=after)

    def revoke(self, id: str) -> ApiKey:
        """At once and for good. Twice does no harm. Raises PithError ``not_found``."""
        with self._db.session() as session:
            row = self._find(session, id)
            row.revoked_at = row.revoked_at or clock.now(session)
            session.flush()
            return _contract(row)

    def identify(self, secret: str) -> Caller:
        """
        Raises:
            PithError: ``key_refused``.
        """
        with self._db.reader() as session:
            query = select(ApiKeyRow).where(ApiKeyRow.begins == secret[:BEGINS])
            row = session.scalars(query).one_or_none() if secret.isascii() and secret.isprintable() else None
            if row is None or not compare_digest(row.digest, _digest(secret)):
                raise PithError("key_refused", reason="it is none of this service's keys")
            now = clock.now(session)
            if row.revoked_at is not None:
                raise PithError("key_refused", reason=f"{row.begins}… was revoked on {row.revoked_at:%Y-%m-%d} (UTC)")
            if row.expires_at is not None and row.expires_at <= now:
                raise PithError("key_refused", reason=f"{row.begins}… expired on {row.expires_at:%Y-%m-%d} (UTC)")
            project = session.get(ProjectRow, row.project)
            limits = Quotas.model_validate({} if project is None else project.quotas)
        self._seen(row.id)
        scopes = frozenset(cast(Sequence[Scope], row.scopes.split()))
        called = "" if project is None else project.name
        return Caller(row.project, scopes, row.name, row.id, limits.requests_per_minute, called)

    def any(self) -> bool:
        """Whether there is a key that opens something."""
        with self._db.reader() as session:
            return bool(session.scalar(select(exists().where(*_opens()))))

    def that_open(self, ids: Collection[KeyId]) -> frozenset[KeyId]:
        """Those of these keys that were neither revoked nor have expired."""
        with self._db.reader() as session:
            return frozenset(session.scalars(select(ApiKeyRow.id).where(ApiKeyRow.id.in_(ids), *_opens())))

    def _seen(self, id: KeyId) -> None:
        with self._db.reader() as session:
            stale = or_(ApiKeyRow.last_used_at.is_(None), ApiKeyRow.last_used_at < clock.now_plus(-SEEN_SECONDS))
            if not session.scalar(select(exists().where(ApiKeyRow.id == id, stale))):
                return
        with suppress(PithError), self._db.session() as session:  # a full disk is no reason to refuse a reader
            session.execute(update(ApiKeyRow).where(ApiKeyRow.id == id).values(last_used_at=clock.now_plus()))

    def _find(self, session: Session, id: str) -> ApiKeyRow:
        row = session.get(ApiKeyRow, id) if listing.is_id("key", id) else None
        if row is None or self._project not in (None, row.project):
            raise PithError("not_found", what="key", id=id[:64], listing=KEYS)
        return row


class Projects:
    """For who operates the service."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def create(self, asked: NewProject, caller: ProjectId = DEFAULT_PROJECT, key: Key | None = None) -> Project:
        """Raises PithError ``idempotency_key_reused``, among the keys of ``caller``."""
        with self._db.session() as session:
            id = new_id("prj")
            before = None if key is None else idempotency.taken(session, caller, key, id)
            if before is not None:
                return _project(find_project(session, before))
            stored = asked.quotas.model_dump(exclude_none=True)
            row = ProjectRow(id=id, name=asked.name, quotas=stored, created_at=clock.now(session))
            session.add(row)
            session.flush()
            return _project(row)

    def get(self, id: str) -> Project:
        """Raises PithError ``not_found``, ``gone``."""
        with self._db.reader() as session:
            return _project(find_project(session, id))

    def usage(self, id: str) -> Usage:
        with self._db.reader() as session:
            return quotas.usage(session, id)

    def list(self, limit: int = 50, cursor: str | None = None) -> Page[Project]:
        """Newest first. Raises PithError ``bad_cursor``."""
        with self._db.reader() as session:
            query = listing.page_of(select(ProjectRow), ProjectRow.id, "prj", limit, cursor)
            rows, after = listing.cut(session.scalars(query).all(), limit)
            return Page(data=tuple(map(_project, rows)), next_cursor=after)

    def change(self, id: str, change: ProjectChange) -> Project:
        """Quotas hold from now on; what is there already stays. Raises PithError ``not_found``."""
        with self._db.session() as session:
            row = find_project(session, id, lock=True)
            row.name = row.name if change.name is None else change.name
            row.quotas = row.quotas if change.quotas is None else change.quotas.model_dump(exclude_none=True)
            session.flush()
            return _project(row)

    def delete(self, id: str) -> None:
        """One that holds nothing any more; its keys are revoked.

        Raises:
            PithError: ``not_found``, ``gone``, ``project_not_empty``.
        """
        with self._db.session() as session:
            row = find_project(session, id, lock=True)
            held = [
                table.__tablename__ for table in (ModelRow, DatasetRow, UploadRow, JobRow) if _has(session, table, id)
            ]
            if id == DEFAULT_PROJECT:
                held.append("what comes without a key")
            if held:
                raise PithError("project_not_empty", id=id, held=", ".join(held))
            revoked = update(ApiKeyRow).where(ApiKeyRow.project == id, ApiKeyRow.revoked_at.is_(None))
            session.execute(revoked.values(revoked_at=clock.now_plus()))
            session.delete(row)
            deletions.record(session, DEFAULT_PROJECT, id, deletions.ASKED)


def find_project(session: Session, id: str, lock: bool = False) -> ProjectRow:
    """Raises PithError ``not_found``, ``gone``."""
    query = select(ProjectRow).where(ProjectRow.id == id)
    row = None
    if listing.is_id("prj", id):
        row = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise deletions.missing(session, DEFAULT_PROJECT, "project", id, PROJECTS)
    return row


def _has(session: Session, table: type[ModelRow | DatasetRow | UploadRow | JobRow], project: str) -> bool:
    found = exists().where(table.project == project)
    if table is JobRow:
        found = found.where(JobRow.kind == "compression")
    return bool(session.scalar(select(found)))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _project(row: ProjectRow) -> Project:
    return Project(id=row.id, name=row.name, quotas=Quotas.model_validate(row.quotas), created_at=row.created_at)


def _contract(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        project=row.project,
        name=row.name,
        begins=row.begins,
        scopes=cast(tuple[Scope, ...], tuple(row.scopes.split())),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )


def _issued(row: ApiKeyRow, secret: str | None) -> IssuedKey:
    return IssuedKey(**_contract(row).model_dump(), secret=secret)
