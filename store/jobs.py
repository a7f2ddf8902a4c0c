"""Jobs: from what is asked to how it ended. The database is the only truth about a job.

A worker that has claimed a job holds it under an attempt number, and only while its lease lasts; whatever it writes
for an attempt that is over is not written, and it is told so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from pith.artifact import Artifact, ArtifactKind, Digest
from pith.errors import PithError, Problem
from pith.ids import JobId, ModelId, new_id
from pith.job import EngineEvent, Event, Job, JobSpec, JobStatus, Progress, Verdict
from pith.resources import Page
from store import clock, history, inputs, job_view, listing
from store.clean import clean_problem, clean_progress, clean_text
from store.database import Database
from store.tables import ArtifactRow, JobRow
from store.transitions import HELD, move, of_attempt

Beat = Literal["running", "cancelling", "fenced"]
Ending = Literal["succeeded", "failed", "cancelled"]


@dataclass(frozen=True)
class Claim:
    """A job that a worker holds under this attempt number, and where the bytes of its inputs are."""

    job: Job
    attempt: int
    model: Digest
    dataset: Digest | None
    teachers: Mapping[ModelId, Digest]


@dataclass(frozen=True)
class NewArtifact:
    """A result whose blob is stored already."""

    kind: ArtifactKind
    name: str
    format: str
    digest: Digest
    size_bytes: int


class Jobs:
    """``max_attempts``: how many lost workers make a job fail."""

    def __init__(self, db: Database, max_attempts: int = 3) -> None:
        self._db = db
        self._max_attempts = max_attempts

    # ---- a caller's side

    def submit(self, spec: JobSpec) -> Job:
        """Queue a job. ``store.dispatch.dispatch`` sends it; the scheduler does if that fails.

        Raises:
            PithError: ``not_found``, and what ``JobSpec.check`` raises.
        """
        spec.check()
        with self._db.session() as session:
            inputs.resolve(session, spec)
            row = JobRow(
                id=new_id("job"),
                status="queued",
                spec=spec.model_dump(mode="json"),
                created_at=clock.now(session),
                progress=Progress().model_dump(mode="json"),
                event_seq=1,
            )
            session.add(row)
            session.flush()
            inputs.remember(session, row.id, spec)
            history.append(session, row.id, 1, "queued", "", {})
            return job_view.contract(session, row)

    def get(self, id: str) -> Job:
        """Raises PithError ``not_found``."""
        with self._db.reader() as session:
            return job_view.contract(session, job_view.find(session, id))

    def list(self, limit: int = 50, cursor: str | None = None, status: JobStatus | None = None) -> Page[Job]:
        """Newest first, at most 200. Raises PithError ``bad_cursor``."""
        query = select(JobRow) if status is None else select(JobRow).where(JobRow.status == status)
        with self._db.reader() as session:
            query = listing.page_of(query, JobRow.id, "job", limit, cursor)
            rows, after = listing.cut(session.scalars(query).all(), limit)
            return Page(data=job_view.contracts(session, rows), next_cursor=after)

    def cancel(self, id: str) -> Job:
        """A queued job is cancelled at once, a running one when its worker has stopped it.

        Raises:
            PithError: ``not_found``; ``job_ended`` when it has succeeded or failed.
        """
        with self._db.session() as session:
            row = job_view.find(session, id, lock=True)
            if row.status in ("succeeded", "failed"):
                raise PithError("job_ended", id=id, status=row.status)
            if row.status == "queued":
                move(session, id, "cancelled", "cancelled", sources={"queued"})
            elif row.status == "running":
                move(session, id, "cancelling", "cancelling", sources={"running"})
            return job_view.contract(session, row)

    def events(self, id: str, after: int = 0, limit: int = 500) -> tuple[Event, ...]:
        """Events whose number is larger than ``after``, in order, at most 1000. Raises PithError ``not_found``."""
        with self._db.reader() as session:
            job_view.find(session, id)
            return history.read(session, id, after, limit)

    def artifacts(self, id: str) -> tuple[Artifact, ...]:
        """Raises PithError ``not_found``."""
        return self.get(id).artifacts

    def artifact(self, id: str, name: str) -> Artifact:
        """Raises PithError ``not_found``, for the job or for the artifact."""
        for artifact in self.artifacts(id):
            if artifact.name == name:
                return artifact
        raise PithError("not_found", what="artifact", id=name[:64], listing=f"/v1/jobs/{id}/artifacts")

    # ---- a worker's side

    def claim(self, id: JobId, worker: str, lease_seconds: float) -> Claim | None:
        """Take a queued job up; None when there is nothing to take: it is held, has ended or never was."""
        with self._db.session() as session:
            row = move(
                session,
                id,
                "running",
                "started",
                sources={"queued"},
                data={"worker": clean_text(worker, 255)},
                attempt=JobRow.attempt + 1,
                started_at=func.coalesce(JobRow.started_at, clock.now_plus()),
                lease_owner=clean_text(worker, 255),
                lease_expires_at=clock.now_plus(lease_seconds),
            )
            return None if row is None else self._claimed(session, row)

    def beat(self, id: JobId, attempt: int, lease_seconds: float) -> Beat:
        """Renew the lease, and hear what is wanted: go on, cancel, or give up because another has the job."""
        with self._db.session() as session:
            statement = (
                update(JobRow)
                .where(JobRow.id == id, JobRow.status.in_(HELD), *of_attempt(attempt))
                .values(lease_expires_at=clock.now_plus(lease_seconds))
                .returning(JobRow.status)
            )
            return cast(Beat, session.scalar(statement) or "fenced")

    def record(self, id: JobId, attempt: int, events: Sequence[EngineEvent], progress: Progress | None = None) -> Beat:
        """Keep what the engine says, cleaned and bounded. Answers as ``beat``; does not renew the lease."""
        with self._db.session() as session:
            row = _held(session, id, attempt)
            if row is None:
                return "fenced"
            history.record(session, row, events)
            if progress is not None:
                row.progress = clean_progress(progress)
            return cast(Beat, row.status)

    def succeed(self, id: JobId, attempt: int, artifacts: Sequence[NewArtifact], verdict: Verdict) -> bool:
        """The end, with the results, or False and nothing is written."""
        with self._db.session() as session:
            done = Progress(fraction=1).model_dump(mode="json")
            ended = self._end(
                session, id, attempt, "succeeded", data={"verdict": verdict}, verdict=verdict, progress=done
            )
            if ended:
                session.add_all(_artifact_row(id, new, clock.now(session)) for new in artifacts)
            return ended

    def fail(self, id: JobId, attempt: int, problem: Problem) -> bool:
        """The end, with the reason, or False and nothing is written."""
        with self._db.session() as session:
            return self._end(session, id, attempt, "failed", **_failure(problem))

    def cancelled(self, id: JobId, attempt: int) -> bool:
        """The end that ``cancel`` asked for, or False and nothing is written."""
        with self._db.session() as session:
            return self._end(session, id, attempt, "cancelled", sources={"cancelling"})

    def give_back(self, id: JobId, attempt: int) -> bool:
        """The worker leaves in good order: the job is queued again, and no loss is counted."""
        with self._db.session() as session:
            row = _held(session, id, attempt)
            if row is not None and row.status == "cancelling":
                return self._end(session, id, attempt, "cancelled")
            return row is not None and self._requeue(session, row, "The worker was stopped in good order.")

    # ---- the scheduler's side

    def due(self, limit: int = 100) -> tuple[JobId, ...]:
        """Queued jobs that were never sent, oldest first."""
        return self._queued(JobRow.dispatched_at.is_(None), limit)

    def overdue(self, seconds: float, limit: int = 100) -> tuple[JobId, ...]:
        """Jobs that were sent longer ago and are queued still, oldest first."""
        return self._queued(JobRow.dispatched_at < clock.now_plus(-seconds), limit)

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

    # ---- within one transaction

    def _claimed(self, session: Session, row: JobRow) -> Claim | None:
        job = job_view.contract(session, row)
        try:
            found = inputs.resolve(session, job.spec)
            return Claim(job, row.attempt, found.model, found.dataset, found.teachers)
        except PithError as error:  # somebody has edited the database by hand
            self._end(session, row.id, row.attempt, "failed", **_failure(error.problem))
            return None

    def _reap(self, session: Session, row: JobRow) -> None:
        lost = row.losses + 1
        if row.status == "cancelling":
            self._end(session, row.id, row.attempt, "cancelled", message="The worker was lost.", losses=lost)
        elif lost >= self._max_attempts:
            problem = PithError("worker_lost", attempts=lost).problem
            self._end(session, row.id, row.attempt, "failed", **_failure(problem), losses=lost)
        else:
            self._requeue(session, row, f"The worker {row.lease_owner} was lost: its lease ran out.", losses=lost)

    def _end(self, session: Session, id: str, attempt: int, to: Ending, **rest: Any) -> bool:
        rest.setdefault("sources", HELD)
        return move(session, id, to, to, where=of_attempt(attempt), **rest) is not None

    def _requeue(self, session: Session, row: JobRow, why: str, **values: Any) -> bool:
        fence = of_attempt(row.attempt)
        moved = move(session, row.id, "queued", "requeued", sources={"running"}, where=fence, message=why, **values)
        return moved is not None

    def _queued(self, condition: Any, limit: int) -> tuple[JobId, ...]:
        query = select(JobRow.id).where(JobRow.status == "queued", condition).order_by(JobRow.id).limit(limit)
        with self._db.reader() as session:
            return tuple(session.scalars(query))


def _held(session: Session, id: str, attempt: int) -> JobRow | None:
    query = select(JobRow).where(JobRow.id == id, JobRow.status.in_(HELD), *of_attempt(attempt))
    return session.scalars(query.with_for_update()).one_or_none()


def _failure(problem: Problem) -> dict[str, Any]:
    error = clean_problem(problem)
    return {"error": error, "message": error["detail"][:2000], "data": {"code": error["code"]}}


def _artifact_row(job: str, new: NewArtifact, now: Any) -> ArtifactRow:
    checked = Artifact(
        id=new_id("art"),
        job=job,
        kind=new.kind,
        name=new.name,
        format=new.format,
        digest=new.digest,
        size_bytes=new.size_bytes,
        created_at=now,
    )
    return ArtifactRow(**checked.model_dump(exclude={"job"}), job_id=job)
