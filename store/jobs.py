"""Jobs: from what is asked to how it ended. The database is the only truth about a job.

A worker that has claimed a job holds it under an attempt number, and only while its lease lasts; whatever it writes
for an attempt that is over is not written, and it is told so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, exists, func, or_, select, update
from sqlalchemy.orm import Session

from pith.access import DEFAULT_PROJECT
from pith.artifact import Artifact, ArtifactKind, Digest
from pith.errors import PithError, Problem
from pith.ids import JobId, ProjectId, new_id
from pith.job import FINAL, EngineEvent, Event, Job, JobKind, JobSpec, JobStatus, Progress, Verdict
from pith.resources import Page
from pith.tags import JobChange
from store import (
    checkpoints,
    checks,
    clock,
    deletions,
    endings,
    history,
    idempotency,
    imports,
    inputs,
    job_view,
    lineage,
    listing,
    quotas,
    tags,
    webhooks,
)
from store.blobs import Blobs
from store.clean import clean_problem, clean_progress, clean_text
from store.database import Database
from store.idempotency import Key
from store.lanes import Lane, lane_of, waits_in
from store.references import delete_unreferred
from store.resources import unconditional
from store.tables import ArtifactRow, JobInputRow, JobRow
from store.transitions import HELD, begin, move, of_attempt

MOST_DOUBLINGS = 8
MOST_PIECES = 1024
Check = Callable[[Job], None]
Beat = Literal["running", "pausing", "cancelling", "fenced"]


@dataclass(frozen=True)
class Claim:
    """A job that a worker holds under this attempt number, and what it works on: an ``Upload`` for an intake.

    ``checkpoint`` is what an earlier attempt has left, or the steps before a fork, by file name; ``pieces`` is how many
    each batch is cut into; ``original`` is what a replay is compared with; ``traceparent`` the job's place in a trace.
    """

    job: Job
    attempt: int
    inputs: inputs.Inputs | inputs.Upload
    checkpoint: Mapping[str, Digest] = field(default_factory=dict)
    traceparent: str | None = None
    pieces: int = 1
    original: lineage.Original | None = None


@dataclass(frozen=True)
class NewArtifact:
    """A result whose blob is stored already."""

    kind: ArtifactKind
    name: str
    format: str
    digest: Digest
    size_bytes: int


class Jobs:
    """``max_attempts``: how many lost workers or processes without a checkpoint between them make a job fail.

    ``retry_seconds`` is how long a job waits after the first lost process, and twice as long after each other.
    ``project``: whose jobs a caller sees; those of all for None, as workers and the scheduler do.
    """

    def __init__(
        self, db: Database, max_attempts: int = 3, retry_seconds: float = 2.0, project: ProjectId | None = None
    ) -> None:
        self._db = db
        self._project = project
        self._max_attempts = max_attempts
        self._retry_seconds = retry_seconds

    # ---- a caller's side

    def submit(
        self, spec: JobSpec, key: Key | None = None, origin: lineage.Origin | None = None, tagged: Sequence[str] = ()
    ) -> Job:
        """Queue a job; or give back the one that was queued under this key before. ``origin`` is the job that it comes
        from.

        ``store.dispatch.dispatch`` sends it; the scheduler does if that fails. While something that it names is still
        being checked the job waits; it fails when that is rejected.

        Raises:
            PithError: ``not_found``, ``input_rejected``, ``idempotency_key_reused``, ``quota_exceeded``,
                ``step_not_kept``, and what ``JobSpec.check`` raises.
        """
        spec.check()
        project = self._project or DEFAULT_PROJECT
        with self._db.session() as session:
            id = new_id("job")
            before = None if key is None else idempotency.taken(session, project, key, id)
            if before is not None:
                return job_view.single(session, self._find(session, before))
            webhooks.refuse_unknown(session, spec.webhooks, project)
            if origin is not None:
                self._find(session, origin.job, lock=True)
            rows = inputs.named(session, spec, self._project)
            unchecked = inputs.waiting(rows)
            why = f"Waits for the check of {', '.join(unchecked)}." if unchecked else ""
            row = begin(session, "compression", spec, rows.keys(), project, why, id)
            if origin is not None:
                lineage.attach(session, row, origin)
            if origin is not None and origin.from_step is not None and spec.keep_steps:
                quotas.check_storage(session, project)
            tags.write(session, id, tagged)
            quotas.check_jobs(session, project)
            return job_view.single(session, row)

    def submitted(self, key: Key) -> Job | None:
        """The job that was queued under this key. Raises PithError ``idempotency_key_reused``."""
        with self._db.reader() as session:
            id = idempotency.found(session, self._project or DEFAULT_PROJECT, key)
            return None if id is None else job_view.single(session, self._find(session, id))

    def get(self, id: str) -> Job:
        """Raises PithError ``not_found``."""
        with self._db.reader() as session:
            return job_view.single(session, self._find(session, id))

    def list(
        self,
        limit: int = 50,
        cursor: str | None = None,
        status: JobStatus | None = None,
        kind: JobKind | None = "compression",
        naming: Sequence[str] = (),
        tagged: Sequence[str] = (),
    ) -> Page[Job]:
        """Newest first, at most 200; of every kind for None, or only those that name these models and datasets, or have
        all of these tags.

        Raises:
            PithError: ``bad_cursor``.
        """
        wanted = ((JobRow.status, status), (JobRow.kind, kind))
        query = select(JobRow).where(*(column == value for column, value in wanted if value is not None))
        if self._project is not None:
            query = query.where(JobRow.project == self._project)
        for id in naming:
            query = query.where(exists().where(JobInputRow.job_id == JobRow.id, JobInputRow.resource_id == id))
        query = query.where(*tags.all_of(JobRow.id, tagged))
        with self._db.reader() as session:
            query = listing.page_of(query, JobRow.id, "job", limit, cursor)
            rows, after = listing.cut(session.scalars(query).all(), limit)
            return Page(data=job_view.contracts(session, rows), next_cursor=after)

    def cancel(self, id: str) -> Job:
        """A job that waits is cancelled at once, a running one when its worker has stopped it.

        Raises:
            PithError: ``not_found``; ``job_ended`` when it has succeeded or failed.
        """
        with self._db.session() as session:
            row = self._find(session, id, lock=True)
            if row.status != "cancelled":
                _refuse_ended(row)
            endings.cancel(session, row)
            return job_view.contract(session, row)

    def pause(self, id: str) -> Job:
        """A queued job is set aside at once, a running one when its worker has kept a checkpoint. Twice does no harm.

        Raises:
            PithError: ``not_found``; ``job_ended``; ``not_pausable`` when it is being cancelled, or a check.
        """
        with self._db.session() as session:
            row = self._find(session, id, lock=True)
            _refuse_ended(row)
            if row.kind == "intake" or row.status == "cancelling":
                why = "it is being cancelled" if row.status == "cancelling" else "it is the check of an upload"
                raise PithError("not_pausable", id=id, reason=why)
            if row.status == "queued":
                move(session, id, "paused", "paused", sources={"queued"})
            elif row.status == "running":
                move(session, id, "pausing", "pausing", sources={"running"})
            return job_view.contract(session, row)

    def resume(self, id: str) -> Job:
        """Queue a paused job again; it goes on from its checkpoint. ``store.dispatch.dispatch`` sends it.

        Raises:
            PithError: ``not_found``; ``not_paused``.
        """
        with self._db.session() as session:
            row = self._find(session, id, lock=True)
            if row.status != "paused":
                raise PithError("not_paused", id=id, status=row.status)
            move(session, id, "queued", "resumed", sources={"paused"}, **_kept_progress(row))
            return job_view.contract(session, row)

    def events(self, id: str, after: int = 0, limit: int = 500) -> tuple[Event, ...]:
        """Events whose number is larger than ``after``, in order, at most 1000. Raises PithError ``not_found``."""
        with self._db.reader() as session:
            self._find(session, id)
            return history.read(session, id, after, limit)

    def news(self, places: Mapping[str, int], limit: int = 500) -> dict[str, tuple[Event, ...]]:
        """Events after the number of each of these jobs, of those that have any; what is deleted has none."""
        with self._db.reader() as session:
            return history.news(session, places, limit)

    def artifacts(self, id: str) -> tuple[Artifact, ...]:
        """Raises PithError ``not_found``."""
        return self.get(id).artifacts

    def artifact(self, id: str, name: str) -> Artifact:
        """Raises PithError ``not_found``, for the job or for the artifact."""
        for artifact in self.artifacts(id):
            if artifact.name == name:
                return artifact
        raise PithError("not_found", what="artifact", id=name[:64], listing=f"/v1/jobs/{id}/artifacts")

    def change(self, id: str, change: JobChange, check: Check = unconditional) -> Job:
        """Raises PithError ``not_found``, and what ``check`` raises for the job as it is."""
        with self._db.session() as session:
            row = self._find(session, id, lock=True)
            check(job_view.single(session, row))
            if change.tags is not None:
                tags.write(session, id, change.tags)
            return job_view.single(session, row)

    def delete(self, id: str, blobs: Blobs, why: str = deletions.ASKED, check: Check = unconditional) -> None:
        """A job that has ended, with its events and artifacts; bytes that something else has too stay. ``check`` may
        refuse, for the job as it is.

        Raises:
            PithError: ``not_found``, ``gone``, ``job_not_ended``.
        """
        with self._db.session() as session:
            row = self._find(session, id, lock=True)
            check(job_view.single(session, row))
            if row.status not in FINAL:
                raise PithError("job_not_ended", id=id, status=row.status)
            kept = select(ArtifactRow.digest).where(ArtifactRow.job_id == id)
            digests = {*session.scalars(kept), *checkpoints.of_job(session, id).values()}
            digests |= lineage.digests(session, id)
            tags.remove(session, id)
            session.delete(row)
            deletions.record(session, row.project, id, why)
        for digest in digests:
            delete_unreferred(self._db, blobs, digest)

    def outdated(self, seconds: float, limit: int = 100) -> tuple[JobId, ...]:
        """Compressions that ended longer ago, oldest first."""
        query = select(JobRow.id).where(JobRow.status.in_(FINAL), JobRow.kind == "compression")
        query = query.where(JobRow.finished_at < clock.now_plus(-seconds)).order_by(JobRow.id).limit(limit)
        with self._db.reader() as session:
            return tuple(session.scalars(query))

    # ---- a worker's side

    def claim(self, id: JobId, worker: str, lease_seconds: float) -> Claim | None:
        """Take a queued job up; None when there is nothing to take: it waits, is held, has ended or never was."""
        with self._db.session() as session:
            quotas.lock_of_job(session, id)
            row = move(
                session,
                id,
                "running",
                "started",
                sources={"queued"},
                where=(checks.ready(), quotas.may_run()),
                data={"worker": clean_text(worker, 255)},
                attempt=JobRow.attempt + 1,
                attempt_at=clock.now_plus(),
                started_at=func.coalesce(JobRow.started_at, clock.now_plus()),
                lease_owner=clean_text(worker, 255),
                lease_expires_at=clock.now_plus(lease_seconds),
            )
            if row is None:
                self._unsend(session, id)
                return None
            row.attempt_fraction = row.progress["fraction"]
            return self._claimed(session, row)

    def beat(self, id: JobId, attempt: int, lease_seconds: float) -> Beat:
        """Renew the lease, and hear what is wanted: go on, pause, cancel, or give up because another has the job."""
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

    def keep(self, id: JobId, attempt: int, files: Sequence[checkpoints.Kept], blobs: Blobs) -> Beat:
        """Make these, whose blobs have just been stored, the job's checkpoint in the place of the last. Answers as
        ``beat``."""
        with self._db.session() as session:
            row = _held(session, id, attempt)
            gone = {file.digest for file in files} if row is None else checkpoints.replace(session, row, files)
        for file in files:
            blobs.settle(file.digest)
        for digest in gone:
            delete_unreferred(self._db, blobs, digest)
        return "fenced" if row is None else cast(Beat, row.status)

    def keep_step(self, id: JobId, attempt: int, step: int, files: Sequence[checkpoints.Kept], blobs: Blobs) -> Beat:
        """Keep these, whose blobs have just been stored, as what the step has left for forks. Answers as ``beat``."""
        with self._db.session() as session:
            row = _held(session, id, attempt)
            gone = {file.digest for file in files} if row is None else lineage.keep(session, id, step, files)
        for file in files:
            blobs.settle(file.digest)
        for digest in gone:
            delete_unreferred(self._db, blobs, digest)
        return "fenced" if row is None else cast(Beat, row.status)

    def succeed(self, id: JobId, attempt: int, artifacts: Sequence[NewArtifact], verdict: Verdict) -> bool:
        """The end, with the results, or False and nothing is written."""
        with self._db.session() as session:
            done = Progress(fraction=1).model_dump(mode="json")
            row = endings.end(
                session, id, attempt, "succeeded", data={"verdict": verdict}, verdict=verdict, progress=done
            )
            if row is not None:
                session.add_all(_artifact_row(id, new, clock.now(session)) for new in artifacts)
            return row is not None

    def fetched(self, id: JobId, attempt: int, found: imports.Fetched, blobs: Blobs) -> bool:
        """What an intake was to fetch is there: a blob that has just been stored. Or False, and the blob goes.

        Raises:
            PithError: ``quota_exceeded``, and the blob goes.
        """
        try:
            with self._db.session() as session:
                row = _held(session, id, attempt)
                written = row is not None and imports.name(session, row, found)
        except PithError as error:
            if error.code == "quota_exceeded":
                self._unnamed(blobs, found.digest)
            raise
        if not written:
            self._unnamed(blobs, found.digest)
            return False
        blobs.settle(found.digest)
        return True

    def _unnamed(self, blobs: Blobs, digest: Digest) -> None:
        blobs.settle(digest)
        delete_unreferred(self._db, blobs, digest)

    def learn(self, id: JobId, attempt: int, learnt: checks.Learnt) -> bool:
        """The end of an intake: what it looked at is ready, with what was learnt. Or False and nothing is written."""
        with self._db.session() as session:
            row = endings.end(session, id, attempt, "succeeded", progress=Progress(fraction=1).model_dump(mode="json"))
            if row is not None:
                checks.accept(session, row, learnt)
            return row is not None

    def fail(self, id: JobId, attempt: int, problem: Problem) -> bool:
        """The end, with the reason, or False and nothing is written."""
        with self._db.session() as session:
            return endings.end(session, id, attempt, "failed", **_failure(problem)) is not None

    def cancelled(self, id: JobId, attempt: int) -> bool:
        """The end that ``cancel`` asked for, or False and nothing is written."""
        with self._db.session() as session:
            return endings.end(session, id, attempt, "cancelled", sources={"cancelling"}) is not None

    def crashed(self, id: JobId, attempt: int, problem: Problem, why: str = "", cut: bool = False) -> bool:
        """The job's process died: the job is queued again after a pause, and the event says ``why``; or it fails with
        this problem when that was once too often. Or False and nothing is written. ``cut``: for want of memory, so that
        batches are computed in twice as many pieces from now on."""
        with self._db.session() as session:
            row = _held(session, id, attempt)
            if row is None:
                return False
            row.pieces = min(row.pieces * 2, MOST_PIECES) if cut else row.pieces
            pause = self._retry_seconds * 2 ** min(row.losses, MOST_DOUBLINGS)
            return self._lost(session, row, problem, why, clock.now_plus(pause))

    def give_back(self, id: JobId, attempt: int) -> bool:
        """The worker stops in good order, as it or the job was asked to: the job is queued again or paused, and no loss
        is counted."""
        with self._db.session() as session:
            row = _held(session, id, attempt)
            return row is not None and self._set_aside(session, row, "The worker was stopped in good order.")

    # ---- the scheduler's side

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

    # ---- within one transaction

    def _find(self, session: Session, id: str, lock: bool = False) -> JobRow:
        return job_view.find(session, id, lock, self._project)

    def _claimed(self, session: Session, row: JobRow) -> Claim | None:
        job = job_view.contract(session, row)
        try:
            named, kept = inputs.of_job(session, job.spec), checkpoints.of_job(session, row.id)
            return Claim(job, row.attempt, named, kept, row.traceparent, row.pieces, lineage.original(session, row))
        except PithError as error:  # the upload was deleted, or somebody has edited the database by hand
            endings.end(session, row.id, row.attempt, "failed", **_failure(error.problem))
            return None

    def _reap(self, session: Session, row: JobRow) -> None:
        problem = PithError("worker_lost", attempts=row.losses + 1).problem
        self._lost(session, row, problem, f"The worker {row.lease_owner} was lost: its lease ran out.")

    def _lost(
        self, session: Session, row: JobRow, problem: Problem, why: str, not_before: ColumnElement[Any] | None = None
    ) -> bool:
        """A worker or a process is gone: set the job aside, or end it where that was wanted or is enough."""
        lost = row.losses + 1
        most = min(self._max_attempts, row.spec.get("limits", {}).get("attempts") or self._max_attempts)
        if row.status == "running" and lost >= most:
            return endings.end(session, row.id, row.attempt, "failed", **_failure(problem), losses=lost) is not None
        return self._set_aside(session, row, why, not_before, losses=lost)

    def _set_aside(
        self, session: Session, row: JobRow, why: str, not_before: ColumnElement[Any] | None = None, **values: Any
    ) -> bool:
        """A job that its worker does not work on any more: queued again, or what it was on its way to."""
        if row.status == "cancelling":
            return endings.end(session, row.id, row.attempt, "cancelled", message=why, **values) is not None
        fence = of_attempt(row.attempt)
        if row.status == "pausing":
            why = "It goes on from its checkpoint." if row.checkpoint_at else "It has no checkpoint: it begins anew."
            moved = move(session, row.id, "paused", "paused", sources={"pausing"}, where=fence, message=why, **values)
        else:
            values |= {"not_before": not_before, **_kept_progress(row)}
            moved = move(session, row.id, "queued", "requeued", sources={"running"}, where=fence, message=why, **values)
        return moved is not None

    def _unsend(self, session: Session, id: str) -> None:
        """A message has come to nothing because the project runs as many jobs as it may: it is sent again later."""
        held_back = update(JobRow).where(JobRow.id == id, JobRow.status == "queued", ~quotas.may_run())
        session.execute(held_back.values(dispatched_at=None), execution_options={"synchronize_session": False})

    def _queued(self, limit: int, *conditions: Any) -> tuple[JobId, ...]:
        query = select(JobRow.id).where(JobRow.status == "queued", *free(), *conditions)
        with self._db.reader() as session:
            return tuple(session.scalars(query.order_by(JobRow.priority.desc(), JobRow.id).limit(limit)))


def _held(session: Session, id: str, attempt: int) -> JobRow | None:
    query = select(JobRow).where(JobRow.id == id, JobRow.status.in_(HELD), *of_attempt(attempt))
    return session.scalars(query.with_for_update()).one_or_none()


def free() -> Sequence[ColumnElement[bool]]:
    """Of a queued job's row: it waits for nothing but a worker."""
    return (checks.ready(), rested(), quotas.may_run())


def rested() -> ColumnElement[bool]:
    """Of a job's row: its pause after a lost process is over."""
    return or_(JobRow.not_before.is_(None), JobRow.not_before <= clock.now_plus())


def _kept_progress(row: JobRow) -> dict[str, Any]:
    """Of a job that is queued again: how far it was, if it goes on from a checkpoint."""
    return {} if row.checkpoint_at is None else {"progress": row.progress}


def _refuse_ended(row: JobRow) -> None:
    if row.status in FINAL:
        raise PithError("job_ended", id=row.id, status=row.status)


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
