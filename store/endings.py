"""How a job ends, and what the end of an intake job means for the model or dataset that it looked at."""

from typing import Any, Literal

from sqlalchemy.orm import Session

from store.checks import reject
from store.tables import JobRow
from store.transitions import HELD, move, of_attempt

Ending = Literal["succeeded", "failed", "cancelled"]


def end(session: Session, id: str, attempt: int, to: Ending, **rest: Any) -> JobRow | None:
    """End a job that this attempt holds; None and nothing is written when it does not."""
    row = move(session, id, to, to, where=of_attempt(attempt), sources=rest.pop("sources", HELD), **rest)
    _close(session, row)
    return row


def cancel(session: Session, row: JobRow) -> None:
    """A job that waits is cancelled at once, a running one when its worker has stopped it. The caller has locked it."""
    if row.status in ("queued", "paused"):
        _close(session, move(session, row.id, "cancelled", "cancelled", sources={"queued", "paused"}))
    elif row.status in ("running", "pausing"):
        move(session, row.id, "cancelling", "cancelling", sources={"running", "pausing"})


def _close(session: Session, row: JobRow | None) -> None:
    if row is not None and row.kind == "intake" and row.status in ("failed", "cancelled"):
        reject(session, row)
