"""Which queue a job waits in: checks of uploads have one, jobs that ask for a device have one for each, the others one.

A worker looks into all of its queues for what is urgent first, and among equals into that of its own device before that
of jobs that any worker may take.
"""

from collections.abc import Mapping
from typing import Literal, cast

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from pith.job import Device, JobKind
from store import workers
from store.tables import JobRow

Lane = Literal["intake", "gpu", "cpu", "compression"]
LANES: Mapping[Lane, tuple[JobKind, Device]] = {
    "intake": ("intake", "auto"),
    "gpu": ("compression", "gpu"),
    "cpu": ("compression", "cpu"),
    "compression": ("compression", "auto"),
}


def lane_of(kind: str, device: str) -> Lane:
    return next(lane for lane, held in LANES.items() if held == (kind, device))


def waits_in(lane: Lane) -> ColumnElement[bool]:
    """Of a job's row."""
    kind, device = LANES[lane]
    return and_(JobRow.kind == kind, JobRow.device == device)


def jobs_before(session: Session, row: JobRow) -> int:
    """How many queued jobs are taken up before this one by the worker that takes it up."""
    own = _queued(session, row, row.device, or_(JobRow.priority > row.priority, _same_and_earlier(row)))
    if row.kind == "intake":
        return own
    if row.device != "auto":
        return own + _queued(session, row, "auto", JobRow.priority > row.priority)
    seen = workers.devices(session) or {"cpu", "gpu"}
    return own + min(_queued(session, row, device, JobRow.priority >= row.priority) for device in seen)


def _same_and_earlier(row: JobRow) -> ColumnElement[bool]:
    return and_(JobRow.priority == row.priority, JobRow.id < row.id)


def _queued(session: Session, row: JobRow, device: str, first: ColumnElement[bool]) -> int:
    query = select(func.count()).where(JobRow.status == "queued", waits_in(lane_of(row.kind, device)), first)
    return cast(int, session.scalar(query))
