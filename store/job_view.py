"""Jobs and artifacts as the contract has them, made from their rows."""

from collections import defaultdict
from collections.abc import Sequence
from typing import cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from pith.artifact import Artifact, ArtifactKind
from pith.errors import PithError, Problem
from pith.intake import IntakeSpec
from pith.job import ForkedFrom, Job, JobSpec, JobStatus, Progress, Verdict
from pith.outcome import Outcome
from store import clock, deletions, lanes, listing, tags, workers
from store.tables import ArtifactRow, JobRow, StepRow
from store.transitions import HELD


def find(session: Session, id: str, lock: bool = False, project: str | None = None) -> JobRow:
    """Of that project, or of any. Raises PithError ``not_found``, ``gone``."""
    query = select(JobRow).where(JobRow.id == id)
    if project is not None:
        query = query.where(JobRow.project == project)
    if not listing.is_id("job", id):
        raise PithError("not_found", what="job", id=id[:64], listing="/v1/jobs")
    row = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise deletions.missing(session, project, "job", id, "/v1/jobs")
    return row


def contract(session: Session, row: JobRow) -> Job:
    return contracts(session, [row])[0]


def single(session: Session, row: JobRow) -> Job:
    """With what costs a query of its own: how many go before it, and when it may end."""
    job = contract(session, row)
    if row.status == "queued":
        lacks = workers.missing(row.device) if workers.lacks(session, row.device) else None
        return job.model_copy(update={"jobs_before": lanes.jobs_before(session, row), "waits_for": lacks})
    if row.status in HELD:
        return job.model_copy(update={"remaining_seconds": _remaining(session, row)})
    return job


def _remaining(session: Session, row: JobRow) -> float | None:
    """As long as the rest takes at the speed of this attempt; None before it has come further."""
    fraction = float(row.progress["fraction"])
    gone = fraction - (row.attempt_fraction or 0)
    if row.attempt_at is None or gone < 0.01:
        return None
    elapsed = (clock.now(session) - row.attempt_at).total_seconds()
    return round(max(0.0, elapsed * (1 - fraction) / gone), 1)


def contracts(session: Session, rows: Sequence[JobRow]) -> tuple[Job, ...]:
    found = defaultdict(list)
    query = select(ArtifactRow).where(ArtifactRow.job_id.in_([row.id for row in rows])).order_by(ArtifactRow.name)
    for artifact in session.scalars(query):
        found[artifact.job_id].append(_artifact(artifact))
    kept = defaultdict(list)
    steps = select(StepRow.job_id, StepRow.step).where(StepRow.job_id.in_([row.id for row in rows])).distinct()
    for id, step in session.execute(steps.order_by(StepRow.step)):
        kept[id].append(step)
    tagged = tags.of(session, [row.id for row in rows])
    return tuple(_job(row, tuple(found[row.id]), tuple(kept[row.id]), tagged[row.id]) for row in rows)


def _job(row: JobRow, artifacts: tuple[Artifact, ...], kept_steps: tuple[int, ...], tagged: tuple[str, ...]) -> Job:
    return Job(
        id=row.id,
        status=cast(JobStatus, row.status),
        spec=(IntakeSpec if row.kind == "intake" else JobSpec).model_validate(row.spec),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        attempt=row.attempt,
        spent_seconds=max(0, row.spent) / 1e6,
        checkpoint_at=row.checkpoint_at,
        progress=Progress.model_validate(row.progress),
        verdict=cast(Verdict | None, row.verdict),
        outcome=None if row.outcome is None else Outcome.model_validate(row.outcome),
        error=None if row.error is None else Problem.model_validate(row.error),
        artifacts=artifacts,
        replays=row.replays,
        forked_from=None if row.forked_from is None else ForkedFrom(job=row.forked_from, step=row.forked_step or 1),
        kept_steps=kept_steps,
        tags=tagged,
    )


def _artifact(row: ArtifactRow) -> Artifact:
    return Artifact(
        id=row.id,
        job=row.job_id,
        kind=cast(ArtifactKind, row.kind),
        name=row.name,
        format=row.format,
        digest=row.digest,
        size_bytes=row.size_bytes,
        created_at=row.created_at,
    )
