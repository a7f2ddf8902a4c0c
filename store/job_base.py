"""What the three sides of jobs have in common: the database, and what becomes of a job whose worker is gone."""

from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from pith.errors import Problem
from pith.ids import ProjectId
from store import endings
from store.clean import clean_problem
from store.database import Database
from store.tables import JobRow
from store.transitions import move, of_attempt


class JobBase:
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

    def _lost(
        self, session: Session, row: JobRow, problem: Problem, why: str, not_before: ColumnElement[Any] | None = None
    ) -> bool:
        """A worker or a process is gone: set the job aside, or end it where that was wanted or is enough."""
        lost = row.losses + 1
        most = min(self._max_attempts, row.spec.get("limits", {}).get("attempts") or self._max_attempts)
        if row.status == "running" and lost >= most:
            return endings.end(session, row.id, row.attempt, "failed", **failure(problem), losses=lost) is not None
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
            values |= {"not_before": not_before, **kept_progress(row)}
            moved = move(session, row.id, "queued", "requeued", sources={"running"}, where=fence, message=why, **values)
        return moved is not None


def kept_progress(row: JobRow) -> dict[str, Any]:
    """Of a job that is queued again: how far it was, if it goes on from a checkpoint."""
    return {} if row.checkpoint_at is None else {"progress": row.progress}


def failure(problem: Problem) -> dict[str, Any]:
    error = clean_problem(problem)
    return {"error": error, "message": error["detail"][:2000], "data": {"code": error["code"]}}
