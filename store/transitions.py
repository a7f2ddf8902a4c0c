"""The one way that a job begins, and that its status changes: by TRANSITIONS, in one conditional UPDATE, with its event
beside it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, update
from sqlalchemy.orm import Session

from pith.ids import JobId, new_id
from pith.intake import IntakeSpec
from pith.job import FINAL, TRANSITIONS, EventType, JobKind, JobSpec, JobStatus, Priority, Progress
from store import clock, history, traces, webhooks
from store.tables import JobInputRow, JobRow

PRIORITIES: Mapping[Priority, int] = {"low": -1, "normal": 0, "high": 1}
HELD: frozenset[JobStatus] = frozenset({"running", "pausing", "cancelling"})


def begin(
    session: Session,
    kind: JobKind,
    spec: JobSpec | IntakeSpec,
    named: Collection[str],
    project: str,
    message: str = "",
    id: JobId | None = None,
) -> JobRow:
    """A queued job, and the models and datasets that it names: those cannot be deleted until it has ended."""
    id = id or new_id("job")
    row = JobRow(
        id=id,
        project=project,
        kind=kind,
        status="queued",
        spec=spec.model_dump(mode="json"),
        priority=PRIORITIES[spec.priority] if isinstance(spec, JobSpec) else 0,
        device=spec.device if isinstance(spec, JobSpec) else "auto",
        created_at=clock.now(session),
        progress=Progress().model_dump(mode="json"),
        event_seq=1,
        traceparent=traces.queued(id, kind),
    )
    session.add(row)
    session.flush()
    session.add_all(JobInputRow(job_id=row.id, resource_id=id) for id in named)
    history.append(session, row.id, 1, "queued", message, {})
    return row


def move(
    session: Session,
    id: str,
    to: JobStatus,
    event: EventType,
    *,
    sources: Collection[JobStatus],
    where: Sequence[ColumnElement[bool]] = (),
    message: str = "",
    data: dict[str, Any] | None = None,
    **values: Any,
) -> JobRow | None:
    """Move a job, if it is in one of ``sources``, TRANSITIONS allows it and ``where`` holds; None if not."""
    allowed = [status for status, after in TRANSITIONS.items() if to in after and status in sources]
    statement = (
        update(JobRow)
        .where(JobRow.id == id, JobRow.status.in_(allowed), *where)
        .values(status=to, event_seq=JobRow.event_seq + 1, **{**_implied(to), **values})
        .returning(JobRow)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    row = session.scalars(statement).one_or_none()
    if row is not None:
        history.append(session, id, row.event_seq, event, message, {"attempt": row.attempt, **(data or {})})
        webhooks.tell(session, row, event)
    return row


def of_attempt(attempt: int) -> Sequence[ColumnElement[bool]]:
    """The fence: nothing is written for an attempt that is over."""
    return (JobRow.attempt == attempt,)


def _implied(to: JobStatus) -> dict[str, Any]:
    """What a status brings with it, whoever moves the job there."""
    spent = JobRow.spent + clock.since(JobRow.attempt_at)
    free = {"lease_owner": None, "lease_expires_at": None, "attempt_at": None, "spent": spent}
    if to in FINAL:
        return {**free, "finished_at": clock.now_plus()}
    if to == "queued":
        return {**free, "dispatched_at": None, "progress": Progress().model_dump(mode="json")}
    if to == "paused":
        return {**free, "not_before": None}
    return {}
