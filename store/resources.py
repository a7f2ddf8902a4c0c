"""Models and datasets: names for blobs. What is inside the bytes is not looked at here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from pith.artifact import Digest
from pith.errors import PithError
from pith.ids import Prefix, new_id
from pith.job import FINAL
from pith.resources import Dataset, Model, Page
from store import clock, listing
from store.blobs import Blobs
from store.database import Database
from store.references import delete_unreferred
from store.tables import DatasetRow, JobInputRow, JobRow, ModelRow

R = TypeVar("R", bound=Model | Dataset)
Row = ModelRow | DatasetRow
Lock = Literal["keep", "delete"]


@dataclass(frozen=True)
class Kind(Generic[R]):
    """One kind of resource: its word, its place in the API, its table and its class in the contract."""

    word: str
    listing: str
    prefix: Prefix
    table: type[ModelRow] | type[DatasetRow]
    contract: Callable[..., R]


MODEL = Kind("model", "/v1/models", "mdl", ModelRow, Model)
DATASET = Kind("dataset", "/v1/datasets", "dts", DatasetRow, Dataset)


def models(db: Database, blobs: Blobs) -> "Resources[Model]":
    return Resources(db, blobs, MODEL)


def datasets(db: Database, blobs: Blobs) -> "Resources[Dataset]":
    return Resources(db, blobs, DATASET)


class Resources(Generic[R]):
    """``models(db, blobs)`` and ``datasets(db, blobs)`` make one."""

    def __init__(self, db: Database, blobs: Blobs, kind: Kind[R]) -> None:
        self._db = db
        self._blobs = blobs
        self._kind = kind

    def create(self, name: str, digest: Digest, size_bytes: int) -> R:
        """Name a blob that has just been committed.

        Raises:
            PithError: ``blob_missing``.
            pydantic.ValidationError: the name is none (pith.artifact.Name).
        """
        self._blobs.size(digest)
        with self._db.session() as session:
            resource = self._kind.contract(
                id=new_id(self._kind.prefix),
                name=name,
                digest=digest,
                size_bytes=size_bytes,
                created_at=clock.now(session),
            )
            session.add(self._kind.table(**resource.model_dump()))
        self._blobs.settle(digest)
        return resource

    def get(self, id: str) -> R:
        """Raises PithError ``not_found``."""
        with self._db.reader() as session:
            return self._contract(find(session, self._kind, id))

    def list(self, limit: int = 50, cursor: str | None = None) -> Page[R]:
        """Newest first, at most 200. Raises PithError ``bad_cursor``."""
        table = self._kind.table
        with self._db.reader() as session:
            query = listing.page_of(select(table), table.id, self._kind.prefix, limit, cursor)
            rows, after = listing.cut(session.scalars(query).all(), limit)
            return Page(data=tuple(self._contract(row) for row in rows), next_cursor=after)

    def delete(self, id: str) -> None:
        """Also deletes the blob, unless something else has the same bytes.

        Raises:
            PithError: ``not_found``, or ``in_use`` while an unfinished job names it.
        """
        with self._db.session() as session:
            row = find(session, self._kind, id, lock="delete")
            _refuse_in_use(session, self._kind.word, id)
            session.delete(row)
            digest = row.digest
        # Only now, when the row is gone for good: should we die here, a sweep finds the blob.
        delete_unreferred(self._db, self._blobs, digest)

    def _contract(self, row: Row) -> R:
        return self._kind.contract(
            id=row.id, name=row.name, digest=row.digest, size_bytes=row.size_bytes, created_at=row.created_at
        )


def find(session: Session, kind: Kind[R], id: str, lock: Lock | None = None) -> Row:
    """One row; ``lock="keep"`` keeps it from being deleted while the transaction lasts. Raises ``not_found``."""
    row = _row(session, kind, id, lock) if listing.is_id(kind.prefix, id) else None
    if row is None:
        raise PithError("not_found", what=kind.word, id=id[:64], listing=kind.listing)
    return row


def _row(session: Session, kind: Kind[R], id: str, lock: Lock | None) -> Row | None:
    query = select(kind.table).where(kind.table.id == id)
    if lock is not None:
        query = query.with_for_update(read=lock == "keep")
    return cast(Row | None, session.scalars(query).one_or_none())


def _refuse_in_use(session: Session, word: str, id: str) -> None:
    query = (
        select(JobRow.id)
        .join(JobInputRow, JobInputRow.job_id == JobRow.id)
        .where(JobInputRow.resource_id == id, JobRow.status.not_in(FINAL))
        .order_by(JobRow.id)
        .limit(1)
    )
    if job := session.scalar(query):
        raise PithError("in_use", what=word, id=id, jobs=job)
