"""Models and datasets: names for blobs, and what their check has found. The bytes are not looked at here."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, cast

from pydantic import TypeAdapter
from sqlalchemy import delete, select
from sqlalchemy.orm import Session, object_session, undefer

from pith.access import DEFAULT_PROJECT
from pith.artifact import Artifact, Digest, Name
from pith.dataset import DatasetSchema, Preview
from pith.errors import PithError
from pith.ids import JobId, Prefix, ProjectId, new_id
from pith.imports import Import
from pith.intake import Architecture
from pith.job import FINAL
from pith.resources import Dataset, Model, Page, ResourceStatus
from pith.tags import ResourceChange
from store import clock, deletions, endings, idempotency, imports, job_view, listing, quotas, tags
from store.blobs import Blobs
from store.checks import queue_check
from store.database import Database
from store.idempotency import Key
from store.references import delete_unreferred
from store.tables import DatasetRow, JobInputRow, JobRow, ModelRow, PartRow

R = TypeVar("R", bound=Model | Dataset)
Row = ModelRow | DatasetRow
Lock = Literal["keep", "change"]
_NAME: TypeAdapter[str] = TypeAdapter(Name)


def unconditional(shown: object) -> None:
    """Refuses nothing."""


@dataclass(frozen=True)
class Kind(Generic[R]):
    """One kind of resource: its word, its place in the API, its table and its class in the contract.

    ``given`` is the field that holds what was said with the upload.
    """

    word: str
    listing: str
    prefix: Prefix
    table: type[ModelRow] | type[DatasetRow]
    contract: Callable[..., R]
    given: Literal["architecture", "declared"]


MODEL = Kind("model", "/v1/models", "mdl", ModelRow, Model, "architecture")
DATASET = Kind("dataset", "/v1/datasets", "dts", DatasetRow, Dataset, "declared")


def models(db: Database, blobs: Blobs, project: ProjectId | None = None) -> "Resources[Model]":
    return Resources(db, blobs, MODEL, project)


def datasets(db: Database, blobs: Blobs, project: ProjectId | None = None) -> "Resources[Dataset]":
    return Resources(db, blobs, DATASET, project)


class Resources(Generic[R]):
    """``models`` and ``datasets`` make one: of one project alone, or of all."""

    def __init__(self, db: Database, blobs: Blobs, kind: Kind[R], project: ProjectId | None = None) -> None:
        self._db = db
        self._blobs = blobs
        self._kind = kind
        self._project = project

    def create(
        self,
        name: str,
        digest: Digest | None,
        size_bytes: int,
        given: Architecture | DatasetSchema | None = None,
        also: Callable[[Session, str], None] = lambda session, id: None,
        key: Key | None = None,
        imported: Import | None = None,
        tagged: Sequence[str] = (),
    ) -> R:
        """Name a blob that has just been committed, and queue its check; without a digest, an architecture alone, or
        what a worker is to fetch.

        ``store.dispatch.dispatch`` sends the job ``check``; the scheduler does if that fails. ``also`` is done with the
        id in the same transaction. What was made under this key before is given back instead.

        Raises:
            PithError: ``blob_missing``, ``idempotency_key_reused``, ``quota_exceeded``.
            pydantic.ValidationError: the name is none (pith.artifact.Name).
        """
        name = _NAME.validate_python(name)
        if digest is not None:
            self._blobs.size(digest)
        with self._unnamed_again(digest), self._db.session() as session:
            row, made_now = self._row(session, name, given, key)
            if not made_now:
                return self._contract(row)
            row.digest, row.size_bytes = digest, size_bytes
            row.imported = None if imported is None else imports.wanted(imported)
            self._write(session, row, tagged, also)
            made = self._contract(row)
        if digest is not None:
            self._blobs.settle(digest)
        return made

    def take(
        self,
        name: str,
        artifact: Artifact,
        given: Architecture | None = None,
        key: Key | None = None,
        tagged: Sequence[str] = (),
    ) -> R:
        """Name the bytes of a job's artifact, and queue their check, as ``create`` does. They are shared, and stay when
        the job is deleted.

        Raises:
            PithError: ``not_found`` and ``gone`` for the job, ``idempotency_key_reused``, ``quota_exceeded``.
        """
        name = _NAME.validate_python(name)
        with self._db.session() as session:
            row, made_now = self._row(session, name, given, key)
            if made_now:
                # While the job is locked nobody takes its bytes away; afterwards this row refers to them.
                job_view.find(session, artifact.job, lock=True, project=self._project)
                row.digest, row.size_bytes = artifact.digest, artifact.size_bytes
                row.imported = imports.taken(artifact)
                self._write(session, row, tagged)
            return self._contract(row)

    def made(self, key: Key) -> R | None:
        """What was made under this key. Raises PithError ``idempotency_key_reused``, ``gone``."""
        with self._db.reader() as session:
            id = idempotency.found(session, self._project or DEFAULT_PROJECT, key)
            return None if id is None else self._contract(self._find(session, id))

    def get(self, id: str) -> R:
        """With all that was learnt. Raises PithError ``not_found``."""
        with self._db.reader() as session:
            return self._full(self._find(session, id, full=True))

    def checking(self, ids: Collection[str]) -> Sequence[str]:
        """Those of the ids that are being checked."""
        table = self._kind.table
        query = select(table.id).where(table.id.in_(ids), table.status == "checking")
        with self._db.reader() as session:
            return session.scalars(query).all()

    def list(
        self,
        limit: int = 50,
        cursor: str | None = None,
        status: ResourceStatus | None = None,
        tagged: Sequence[str] = (),
    ) -> Page[R]:
        """Newest first, at most 200, without the long part of the facts; those with all of these tags.

        Raises:
            PithError: ``bad_cursor``.
        """
        table = self._kind.table
        query = select(table) if status is None else select(table).where(table.status == status)
        query = query.where(*tags.all_of(table.id, tagged))
        if self._project is not None:
            query = query.where(table.project == self._project)
        with self._db.reader() as session:
            query = listing.page_of(query, table.id, self._kind.prefix, limit, cursor)
            found = cast(Sequence[Row], session.scalars(query).all())
            rows, after = listing.cut(found, limit)
            known = tags.of(session, [row.id for row in rows])
            return Page(data=tuple(self._contract(row, tagged=known[row.id]) for row in rows), next_cursor=after)

    def of_bytes(self, digests: Collection[Digest], limit: int = 50) -> tuple[R, ...]:
        """Those whose file is one of these, newest first, without the long part of the facts."""
        table = self._kind.table
        query = select(table).where(table.digest.in_(digests)).order_by(table.id.desc()).limit(limit)
        if self._project is not None:
            query = query.where(table.project == self._project)
        with self._db.reader() as session:
            return tuple(self._contract(row, tagged=()) for row in cast(Sequence[Row], session.scalars(query).all()))

    def preview(self, id: str) -> Preview:
        """Of a dataset. Raises PithError ``not_found``, or ``not_ready`` while it has none."""
        with self._db.reader() as session:
            row = self._find(session, id, full=True)
            if row.details is None:
                why = f": {row.error['detail']}" if row.error else " yet; wait until it is ready."
                raise PithError("not_ready", what=self._kind.word, id=id, status=row.status, wanted="preview", why=why)
            return Preview.model_validate(row.details)

    def check(self, id: str, given: Architecture | DatasetSchema | None = None) -> R:
        """Queue a new check, as after an upload; what the one before has learnt is forgotten. With what is ``given``
        now in the place of what came with the upload.

        Raises:
            PithError: ``not_found``, ``check_under_way``, or ``in_use`` while an unfinished job names it.
        """
        with self._db.session() as session:
            row = self._find(session, id, lock="change")
            if row.status == "checking":
                raise PithError("check_under_way", what=self._kind.word, id=id, job=row.check_id)
            _refuse_in_use(session, self._kind.word, id)
            session.execute(delete(PartRow).where(PartRow.resource_id == id))
            if given is not None:
                row.declared = given.model_dump(mode="json")
            row.status, row.check_id = "checking", queue_check(session, id, row.project).id
            row.error = row.facts = row.details = None
            session.flush()
            return self._contract(row)

    def change(self, id: str, change: ResourceChange, check: Callable[[R], None] = unconditional) -> R:
        """Raises PithError ``not_found``, and what ``check`` raises for it as it is."""
        with self._db.session() as session:
            row = self._find(session, id, lock="change", full=True)
            check(self._full(row))
            if change.name is not None:
                row.name = change.name
            if change.tags is not None:
                tags.write(session, id, change.tags)
            session.flush()
            return self._full(row)

    def delete(self, id: str, check: Callable[[R], None] = unconditional) -> None:
        """Also deletes its blobs, unless something else has the same bytes, and cancels its check. ``check`` may
        refuse, for it as it is.

        Raises:
            PithError: ``not_found``, or ``in_use`` while an unfinished job names it.
        """
        with self._db.session() as session:
            row = self._find(session, id, lock="change", full=True)
            check(self._full(row))
            _refuse_in_use(session, self._kind.word, id)
            tags.remove(session, id)
            gone = delete(PartRow).where(PartRow.resource_id == id).returning(PartRow.digest)
            digests = {row.digest, *session.scalars(gone)} - {None}
            session.delete(row)
            deletions.record(session, row.project, id, deletions.ASKED)
        self._cancel_check(row.check_id)
        # Only now, when the row is gone for good: should we die here, a sweep finds the blobs.
        for digest in cast(set[Digest], digests):
            delete_unreferred(self._db, self._blobs, digest)

    def _row(
        self, session: Session, name: str, given: Architecture | DatasetSchema | None, key: Key | None
    ) -> tuple[Row, bool]:
        """A new row that is not written yet, and True; or the one that was made under this key before."""
        project = self._project or DEFAULT_PROJECT
        id = new_id(self._kind.prefix)
        before = None if key is None else idempotency.taken(session, project, key, id)
        if before is not None:
            return self._find(session, before), False
        row = self._kind.table(
            id=id,
            project=project,
            name=name,
            created_at=clock.now(session),
            status="checking",
            declared=None if given is None else given.model_dump(mode="json"),
        )
        return row, True

    def _write(
        self,
        session: Session,
        row: Row,
        tagged: Sequence[str],
        also: Callable[[Session, str], None] = lambda session, id: None,
    ) -> None:
        """With its check, if the project has room for it."""
        row.check_id = queue_check(session, row.id, row.project).id
        session.add(row)
        session.flush()
        tags.write(session, row.id, tagged)
        also(session, row.id)
        quotas.check_storage(session, row.project)

    def _cancel_check(self, job: JobId) -> None:
        """In a transaction of its own: an intake job is locked before what it looks at, never after."""
        with self._db.session() as session:
            query = select(JobRow).where(JobRow.id == job).with_for_update()
            if (row := session.scalars(query).one_or_none()) is not None:
                endings.cancel(session, row)

    def _find(self, session: Session, id: str, lock: Lock | None = None, full: bool = False) -> Row:
        return find(session, self._kind, id, lock, full, self._project)

    @contextmanager
    def _unnamed_again(self, digest: Digest | None) -> Iterator[None]:
        """Bytes that come to no name because of a quota are not kept until the next sweep."""
        try:
            yield
        except PithError as error:
            if error.code == "quota_exceeded" and digest is not None:
                self._blobs.settle(digest)
                delete_unreferred(self._db, self._blobs, digest)
            raise

    def _full(self, row: Row) -> R:
        return self._contract(row, {} if self._kind.given == "declared" else row.details or {})

    def _contract(self, row: Row, details: dict[str, Any] | None = None, tagged: Sequence[str] | None = None) -> R:
        if tagged is None:
            session = object_session(row)
            tagged = tags.of(session, [row.id])[row.id] if session is not None else ()
        return self._kind.contract(
            id=row.id,
            name=row.name,
            digest=row.digest,
            size_bytes=row.size_bytes,
            created_at=row.created_at,
            status=row.status,
            error=row.error,
            check=row.check_id,
            source=imports.source(row.imported),
            tags=tagged,
            facts=None if row.facts is None else {**row.facts, **(details or {})},
            **{self._kind.given: row.declared},
        )


def find(
    session: Session,
    kind: Kind[R],
    id: str,
    lock: Lock | None = None,
    full: bool = False,
    project: str | None = None,
) -> Row:
    """One row of that project, or of any; ``lock="keep"`` keeps it from being deleted or checked anew while the
    transaction lasts.

    Raises:
        PithError: ``not_found``, ``gone``.
    """
    if not listing.is_id(kind.prefix, id):
        raise PithError("not_found", what=kind.word, id=id[:64], listing=kind.listing)
    row = _row(session, kind, id, lock, full)
    if row is None or project not in (None, row.project):
        raise deletions.missing(session, project, kind.word, id, kind.listing)
    return row


def _row(session: Session, kind: Kind[R], id: str, lock: Lock | None, full: bool) -> Row | None:
    query = select(kind.table).where(kind.table.id == id).options(*([undefer(kind.table.details)] if full else []))
    if lock is not None:
        query = query.with_for_update(read=lock == "keep")
    return cast(Row | None, session.scalars(query).one_or_none())


def _refuse_in_use(session: Session, word: str, id: str) -> None:
    query = (
        select(JobRow.id)
        .join(JobInputRow, JobInputRow.job_id == JobRow.id)
        .where(JobInputRow.resource_id == id, JobRow.status.not_in(FINAL), JobRow.kind == "compression")
        .order_by(JobRow.id)
        .limit(1)
    )
    if job := session.scalar(query):
        raise PithError("in_use", what=word, id=id, jobs=job)
