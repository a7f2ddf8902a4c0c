"""A worker's side of jobs: claim one, keep what comes of it, end it.

It holds a job under an attempt number, and only while its lease lasts; whatever it writes for an attempt that is over
is not written, and it is told so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from pith.artifact import Artifact, ArtifactKind, Digest
from pith.errors import PithError, Problem
from pith.ids import JobId, new_id
from pith.job import EngineEvent, Job, Progress, Verdict
from pith.outcome import Outcome
from store import checkpoints, checks, clock, endings, history, imports, inputs, job_view, lineage, quotas
from store.blobs import Blobs
from store.clean import clean_progress, clean_text
from store.job_base import JobBase, failure
from store.references import delete_unreferred
from store.tables import ArtifactRow, JobRow
from store.transitions import HELD, move, of_attempt

Beat = Literal["running", "pausing", "cancelling", "fenced"]
MOST_DOUBLINGS = 8
MOST_PIECES = 1024


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


class Attempts(JobBase):
    """Of jobs that this or another worker holds, each under its attempt number and while its lease lasts."""

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

    def succeed(
        self,
        id: JobId,
        attempt: int,
        artifacts: Sequence[NewArtifact],
        verdict: Verdict,
        outcome: Outcome | None = None,
    ) -> bool:
        """The end, with the results, or False and nothing is written."""
        with self._db.session() as session:
            values = {
                "verdict": verdict,
                "outcome": None if outcome is None else outcome.model_dump(mode="json"),
                "progress": Progress(fraction=1).model_dump(mode="json"),
            }
            row = endings.end(session, id, attempt, "succeeded", data={"verdict": verdict}, **values)
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
            return endings.end(session, id, attempt, "failed", **failure(problem)) is not None

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

    def _claimed(self, session: Session, row: JobRow) -> Claim | None:
        job = job_view.contract(session, row)
        try:
            named, kept = inputs.of_job(session, job.spec), checkpoints.of_job(session, row.id)
            return Claim(job, row.attempt, named, kept, row.traceparent, row.pieces, lineage.original(session, row))
        except PithError as error:  # the upload was deleted, or somebody has edited the database by hand
            endings.end(session, row.id, row.attempt, "failed", **failure(error.problem))
            return None

    def _unsend(self, session: Session, id: str) -> None:
        """A message has come to nothing because the project runs as many jobs as it may: it is sent again later."""
        held_back = update(JobRow).where(JobRow.id == id, JobRow.status == "queued", ~quotas.may_run())
        session.execute(held_back.values(dispatched_at=None), execution_options={"synchronize_session": False})


def _held(session: Session, id: str, attempt: int) -> JobRow | None:
    query = select(JobRow).where(JobRow.id == id, JobRow.status.in_(HELD), *of_attempt(attempt))
    return session.scalars(query.with_for_update()).one_or_none()


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
