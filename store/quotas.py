"""What a project uses, and whether that is within its quotas.

What is made is counted along and then checked, in the transaction that makes it and under the project's row: two that
come at once cannot both take the last place.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.orm import Session, aliased

from pith.access import Quotas, Usage
from pith.errors import PithError
from pith.job import FINAL
from store import clock
from store.database import Database
from store.tables import ArtifactRow, DatasetRow, JobRow, ModelRow, ProjectRow, StepRow, UploadRow
from store.transitions import HELD


@dataclass(frozen=True)
class Room:
    """What bounds one more file of a project: the most that a file may have, and the most that it may all have."""

    file_bytes: int
    storage_bytes: int | None
    stored_bytes: int

    def check(self, size: int) -> None:
        """
        Raises:
            PithError: ``upload_too_large``, ``quota_exceeded``.
        """
        if size > self.file_bytes:
            raise PithError("upload_too_large", limit=self.file_bytes)
        if self.storage_bytes is not None and self.stored_bytes + size > self.storage_bytes:
            raise _storage_exceeded(self.stored_bytes + size, self.storage_bytes)


def of(session: Session, project: str, lock: bool = False) -> Quotas:
    """None at all where there is no such project."""
    query = select(ProjectRow.quotas).where(ProjectRow.id == project)
    return Quotas.model_validate(session.scalar(query.with_for_update() if lock else query) or {})


def usage(session: Session, project: str) -> Usage:
    return Usage(
        storage_bytes=_stored(session, project),
        jobs_at_once=session.scalar(_jobs(project).where(JobRow.status.in_(HELD))) or 0,
        jobs_unfinished=session.scalar(_jobs(project).where(JobRow.status.not_in(FINAL))) or 0,
    )


def room(db: Database, project: str, most: int) -> Room:
    """``most``: bytes of one file that the service takes of anybody."""
    with db.reader() as session:
        quotas = of(session, project)
        file = most if quotas.upload_bytes is None else min(most, quotas.upload_bytes)
        return Room(file, quotas.storage_bytes, 0 if quotas.storage_bytes is None else _stored(session, project))


def check_storage(session: Session, project: str) -> None:
    """
    Raises:
        PithError: ``quota_exceeded``.
    """
    if of(session, project).storage_bytes is None:
        return
    most = of(session, project, lock=True).storage_bytes
    if most is not None and (used := _stored(session, project)) > most:
        raise _storage_exceeded(used, most)


def check_jobs(session: Session, project: str) -> None:
    """
    Raises:
        PithError: ``quota_exceeded``.
    """
    if of(session, project).jobs_unfinished is None:
        return
    most = of(session, project, lock=True).jobs_unfinished
    used = session.scalar(_jobs(project).where(JobRow.status.not_in(FINAL))) or 0
    if most is not None and used > most:
        way_out = "wait until a job has ended, or cancel one"
        raise PithError("quota_exceeded", what="unfinished jobs", used=used, most=most, way_out=way_out)


def lock_of_job(session: Session, id: str) -> None:
    """Before a job is claimed whose project may run a few at once: nobody else claims one of these meanwhile."""
    query = select(ProjectRow.id).join(JobRow, JobRow.project == ProjectRow.id).where(JobRow.id == id, _bounds_jobs())
    session.execute(query.with_for_update(of=ProjectRow))


def may_run() -> ColumnElement[bool]:
    """Of a job's row: its project may run one more. Checks of uploads do not count."""
    other = aliased(JobRow)
    running = (
        select(func.count())
        .where(other.project == JobRow.project, other.status.in_(HELD), other.kind == "compression")
        .correlate(JobRow, ProjectRow)
        .scalar_subquery()
    )
    full = exists().where(ProjectRow.id == JobRow.project, _bounds_jobs(), running >= _most_at_once()).correlate(JobRow)
    return (JobRow.kind == "intake") | ~full


def _most_at_once() -> Any:
    return ProjectRow.quotas["jobs_at_once"].as_integer()


def _bounds_jobs() -> Any:
    return _most_at_once().is_not(None)


def _jobs(project: str) -> Select[Any]:
    return select(func.count()).select_from(JobRow).where(JobRow.project == project, JobRow.kind == "compression")


def _stored(session: Session, project: str) -> int:
    """As uploaded, as handed out and as kept of steps. An upload that arrives counts as what it is going to be."""
    arriving = (UploadRow.resource_id.is_(None), UploadRow.expires_at > clock.now_plus())
    sums = (
        select(func.sum(ModelRow.size_bytes)).where(ModelRow.project == project),
        select(func.sum(DatasetRow.size_bytes)).where(DatasetRow.project == project),
        select(func.sum(UploadRow.length)).where(UploadRow.project == project, *arriving),
        select(func.sum(ArtifactRow.size_bytes)).join(JobRow).where(JobRow.project == project),
        select(func.sum(StepRow.size_bytes)).join(JobRow).where(JobRow.project == project),
    )
    return sum(int(session.scalar(query) or 0) for query in sums)


def _storage_exceeded(used: int, most: int) -> PithError:
    return PithError(
        "quota_exceeded", what="bytes of storage", used=used, most=most, way_out="delete what is not needed"
    )
