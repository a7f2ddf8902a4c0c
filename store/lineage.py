"""Jobs that come from other jobs: replays, forks, and what finished steps leave for forks to go on from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from pith.artifact import Digest
from pith.errors import PithError
from pith.ids import JobId
from pith.job import JobStatus
from store import clock
from store.checkpoints import Kept
from store.tables import ArtifactRow, CheckpointRow, JobRow, StepRow

POSITION = "position.json"
"""What the checkpoint of a fork calls the position after the last step that it takes over."""


@dataclass(frozen=True)
class Origin:
    """The job that a new one comes from. ``from_step`` is the first step that a fork runs; None is a replay."""

    job: JobId
    from_step: int | None = None


@dataclass(frozen=True)
class Original:
    """What a replay is compared with: how that job stands, its artifacts by name, and its report if it has one."""

    job: JobId
    status: JobStatus | Literal["deleted"]
    artifacts: Mapping[str, Digest] = field(default_factory=dict)
    report: Digest | None = None


def attach(session: Session, row: JobRow, origin: Origin) -> None:
    """Write down where a new job comes from. A fork gets what the steps before have left as its first checkpoint, so
    that it needs the other job no more. The caller has locked that one.

    Raises:
        PithError: ``step_not_kept``.
    """
    if origin.from_step is None:
        row.replays = origin.job
        return
    row.forked_from, row.forked_step = origin.job, origin.from_step
    query = select(StepRow).where(StepRow.job_id == origin.job, StepRow.step < origin.from_step)
    before = session.scalars(query).all()
    needed = [each for each in before if each.step == origin.from_step - 1 or each.name.startswith("step-")]
    if {each.step for each in before} != set(range(origin.from_step)):
        raise not_kept(origin.job, origin.from_step - 1, "it is gone by now", "name an earlier one")
    for each in needed:
        name = POSITION if each.name.startswith("position-") else each.name
        session.add(CheckpointRow(job_id=row.id, name=name, digest=each.digest, size_bytes=each.size_bytes))
    for each in before if row.spec.get("keep_steps") else ():
        copy = StepRow(job_id=row.id, step=each.step, name=each.name, digest=each.digest, size_bytes=each.size_bytes)
        session.add(copy)
    row.checkpoint_at = clock.now(session)


def not_kept(id: JobId, step: int, reason: str, way_out: str) -> PithError:
    return PithError("step_not_kept", id=id, step=step, reason=reason, way_out=way_out)


def keep(session: Session, job: JobId, step: int, files: Sequence[Kept]) -> set[Digest]:
    """In the place of what an earlier attempt left after the same step, whose digests are returned."""
    gone = delete(StepRow).where(StepRow.job_id == job, StepRow.step == step).returning(StepRow.digest)
    before = set(session.scalars(gone))
    session.add_all(
        StepRow(job_id=job, step=step, name=file.name, digest=file.digest, size_bytes=file.size_bytes) for file in files
    )
    return before - {file.digest for file in files}


def digests(session: Session, job: JobId) -> set[Digest]:
    """Of all that is kept of the job's steps."""
    return set(session.scalars(select(StepRow.digest).where(StepRow.job_id == job)))


def original(session: Session, row: JobRow) -> Original | None:
    """None for a job that replays none."""
    if row.replays is None:
        return None
    before = session.get(JobRow, row.replays)
    if before is None:
        return Original(row.replays, "deleted")
    made = session.scalars(select(ArtifactRow).where(ArtifactRow.job_id == before.id)).all()
    report = next((each.digest for each in made if each.name == "report.json"), None)
    artifacts = {each.name: each.digest for each in made if each.kind != "report"}
    return Original(before.id, cast(JobStatus, before.status), artifacts, report)
