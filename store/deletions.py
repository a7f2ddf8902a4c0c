"""What was deleted, when and why: so that who asks for it hears more than that it is not there."""

from sqlalchemy.orm import Session

from pith.errors import PithError
from store import clock
from store.tables import DeletionRow

ASKED = "somebody asked for it"


def record(session: Session, project: str, id: str, why: str) -> None:
    session.add(DeletionRow(id=id, project=project, deleted_at=clock.now(session), why=why))


def missing(session: Session, project: str | None, what: str, id: str, listing: str) -> PithError:
    """``gone`` for what was deleted, ``not_found`` for what never was in this project, or in any for None."""
    row = session.get(DeletionRow, id[:30])
    if row is None or row.id != id or project not in (None, row.project):
        return PithError("not_found", what=what, id=id[:64], listing=listing)
    return PithError("gone", what=what, id=id, at=f"{row.deleted_at:%Y-%m-%d %H:%M:%S} UTC", why=row.why)
