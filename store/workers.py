"""The workers that have lately been seen: what they compute on and which queues they look into. Nothing relies on it
but what callers and operators are told."""

from collections.abc import Collection
from typing import cast

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from pith.worker import Worker, WorkerDevice, WorkerQueue
from store import clock
from store.clean import clean_text
from store.database import Database
from store.tables import WorkerRow

SEEN_SECONDS = 60.0
"""Who has not been seen for longer is taken for gone."""


class Workers:
    def __init__(self, db: Database) -> None:
        self._db = db

    def seen(self, name: str, host: str, device: WorkerDevice, queues: Collection[WorkerQueue]) -> None:
        """This worker is there. Forgets those that are long gone."""
        said = {"host": clean_text(host, 255), "device": device, "queues": ",".join(queues)}
        with self._db.session() as session:
            mine = update(WorkerRow).where(WorkerRow.name == name).values(seen_at=clock.now_plus(), **said)
            if session.scalar(mine.returning(WorkerRow.name)) is None:
                now = clock.now(session)
                session.add(WorkerRow(name=clean_text(name, 255), started_at=now, seen_at=now, **said))
            session.execute(delete(WorkerRow).where(WorkerRow.seen_at < clock.now_plus(-20 * SEEN_SECONDS)))

    def left(self, name: str) -> None:
        with self._db.session() as session:
            session.execute(delete(WorkerRow).where(WorkerRow.name == name))

    def list(self) -> tuple[Worker, ...]:
        """Those that have lately been seen, by name."""
        with self._db.reader() as session:
            rows = session.scalars(select(WorkerRow).where(_lately()).order_by(WorkerRow.name))
            return tuple(_contract(row) for row in rows)

    def lacks(self, device: str) -> bool:
        """Whether nobody has lately been seen who would take up a job that asks for this device."""
        with self._db.reader() as session:
            return lacks(session, device)


def devices(session: Session) -> set[WorkerDevice]:
    """What workers that have lately been seen, and take jobs, compute on."""
    query = select(WorkerRow.device).where(_lately(), WorkerRow.queues != "intake").distinct()
    return {cast(WorkerDevice, device) for device in session.scalars(query)}


def lacks(session: Session, device: str) -> bool:
    """As the method."""
    return device != "auto" and device not in devices(session)


def missing(device: str) -> str:
    """What a caller is told whose job nobody there would take up."""
    name = device.upper()
    return f"No worker with a {name} has been seen in the last {SEEN_SECONDS:g} seconds: a job for one waits."


def _lately() -> ColumnElement[bool]:
    lately: ColumnElement[bool] = WorkerRow.seen_at >= clock.now_plus(-SEEN_SECONDS)
    return lately


def _contract(row: WorkerRow) -> Worker:
    return Worker(
        name=row.name,
        host=row.host,
        device=cast(WorkerDevice, row.device),
        queues=cast(tuple[WorkerQueue, ...], tuple(row.queues.split(","))),
        started_at=row.started_at,
        seen_at=row.seen_at,
    )
