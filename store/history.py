"""A job's events: numbered without gaps under the job's row, bounded in number, and read back in order."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from pith.job import EngineEvent, Event, EventType
from store import clock
from store.clean import clean_event
from store.tables import EventRow, JobRow

MAX_EVENTS = 10_000
MAX_PAGE = 1000


def append(session: Session, job: str, seq: int, type: EventType, message: str, data: dict[str, Any]) -> None:
    """One event of the store's own; the caller has taken ``seq`` from the job's row."""
    event = EngineEvent(at=clock.now(session), type=type, message=message, data=data)
    _add(session, job, seq, [event])


def record(session: Session, row: JobRow, events: Sequence[EngineEvent]) -> None:
    """Events of the engine, under the row that the caller has locked. Beyond MAX_EVENTS they are dropped, and the
    last one that is kept says so; how a job ends is kept always."""
    now = clock.now(session)
    room = max(0, MAX_EVENTS - row.event_seq)
    kept = [clean_event(event, now) for event in events[:room]]
    if kept and len(kept) == room:
        kept[-1] = EngineEvent(at=now, type="warning", message=f"There are {MAX_EVENTS} events; no more are kept.")
    _add(session, row.id, row.event_seq + 1, kept)
    row.event_seq += len(kept)


def read(session: Session, job: str, after: int, limit: int) -> tuple[Event, ...]:
    query = (
        select(EventRow)
        .where(EventRow.job_id == job, EventRow.seq > min(after, 2**31 - 1))
        .order_by(EventRow.seq)
        .limit(max(1, min(limit, MAX_PAGE)))
    )
    return tuple(_contract(row) for row in session.scalars(query))


def news(session: Session, places: Mapping[str, int], limit: int) -> dict[str, tuple[Event, ...]]:
    """Of each job that has events after its number, as many of them; one question for all that have none."""
    known = list(places)
    rows = [
        row
        for first in range(0, len(known), MAX_PAGE)
        for row in session.execute(
            select(JobRow.id, JobRow.event_seq).where(JobRow.id.in_(known[first : first + MAX_PAGE]))
        )
    ]
    return {id: read(session, id, places[id], limit) for id, last in rows if last > places[id]}


def _add(session: Session, job: str, first: int, events: Sequence[EngineEvent]) -> None:
    session.add_all(
        EventRow(job_id=job, seq=seq, **event.model_dump()) for seq, event in enumerate(events, start=first)
    )


def _contract(row: EventRow) -> Event:
    return Event(
        seq=row.seq, at=row.at, type=cast(EventType, row.type), message=row.message, step=row.step, data=row.data
    )
