"""The scheduler's side of jobs: which are to be sent, taken from workers that are lost, or forgotten."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from pith.errors import PithError
from pith.ids import JobId
from pith.job import FINAL
from store import checks, clock, quotas
from store.job_base import JobBase
from store.lanes import Lane, lane_of, waits_in
from store.tables import JobRow
from store.transitions import HELD


class Waiting(JobBase):
    """Of the jobs of all projects."""

    def due(self, limit: int = 100) -> tuple[JobId, ...]:
        """Queued jobs that were never sent and wait for nothing, by priority, oldest first."""
        return self._queued(limit, JobRow.dispatched_at.is_(None))

    def overdue(self, seconds: float, lane: Lane = "compression", limit: int = 100) -> tuple[JobId, ...]:
        """Jobs of one lane that were sent longer ago and are queued still, oldest first."""
        return self._queued(limit, JobRow.dispatched_at < clock.now_plus(-seconds), waits_in(lane))

    def sendable(self, id: JobId) -> tuple[Lane, int] | None:
        """The lane and priority of a queued job that waits for nothing; None for any other."""
        query = select(JobRow.kind, JobRow.device, JobRow.priority)
        query = query.where(JobRow.id == id, JobRow.status == "queued", *free())
        with self._db.reader() as session:
            row = session.execute(query).one_or_none()
            return None if row is None else (lane_of(row.kind, row.device), row.priority)

    def mark_dispatched(self, id: JobId) -> None:
        with self._db.session() as session:
            statement = update(JobRow).where(JobRow.id == id, JobRow.status == "queued")
            session.execute(statement.values(dispatched_at=clock.now_plus()))

    def reap(self, limit: int = 100) -> tuple[JobId, ...]:
        """Take jobs from workers whose lease has run out: queue them again, or end them. Returns those jobs."""
        expired = or_(JobRow.lease_expires_at.is_(None), JobRow.lease_expires_at < clock.now_plus())
        query = select(JobRow).where(JobRow.status.in_(HELD), expired).order_by(JobRow.id).limit(limit)
        with self._db.session() as session:
            rows = session.scalars(query.with_for_update(skip_locked=True)).all()
            for row in rows:
                self._reap(session, row)
            return tuple(row.id for row in rows)

    def outdated(self, seconds: float, limit: int = 100) -> tuple[JobId, ...]:
        """Compressions that ended longer ago, oldest first."""
        query = select(JobRow.id).where(JobRow.status.in_(FINAL), JobRow.kind == "compression")
        query = query.where(JobRow.finished_at < clock.now_plus(-seconds)).order_by(JobRow.id).limit(limit)
        with self._db.reader() as session:
            return tuple(session.scalars(query))

    def _reap(self, session: Session, row: JobRow) -> None:
        problem = PithError("worker_lost", attempts=row.losses + 1).problem
        self._lost(session, row, problem, f"The worker {row.lease_owner} was lost: its lease ran out.")

    def _queued(self, limit: int, *conditions: Any) -> tuple[JobId, ...]:
        query = select(JobRow.id).where(JobRow.status == "queued", *free(), *conditions)
        with self._db.reader() as session:
            return tuple(session.scalars(query.order_by(JobRow.priority.desc(), JobRow.id).limit(limit)))


def free() -> Sequence[ColumnElement[bool]]:
    """Of a queued job's row: it waits for nothing but a worker."""
    return (checks.ready(), rested(), quotas.may_run())


def rested() -> ColumnElement[bool]:
    """Of a job's row: its pause after a lost process is over."""
    return or_(JobRow.not_before.is_(None), JobRow.not_before <= clock.now_plus())
