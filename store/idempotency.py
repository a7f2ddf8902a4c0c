"""Requests that may be sent twice: what the first one made is found again by its key.

The key is written in the transaction that makes the thing, so that there is never one without the other.
"""

import hashlib
from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from pith.errors import PithError
from store import clock
from store.database import Database
from store.tables import KeyRow

KEPT_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class Key:
    """What a caller calls a request, and a digest of what is asked by it."""

    name: str
    asked: str

    @classmethod
    def of(cls, name: str, *asked: str) -> "Key":
        return cls(name, hashlib.sha256("\0".join(asked).encode()).hexdigest())


def taken(session: Session, project: str, key: Key, id: str) -> str | None:
    """Write that the project's key made ``id``; or else the id that it made before, and then nothing may be made.

    Raises:
        PithError: ``idempotency_key_reused``.
    """
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    row = {"project": project, "name": key.name, "asked": key.asked, "made": id, "created_at": clock.now(session)}
    statement = insert(KeyRow).values(row).on_conflict_do_nothing().returning(KeyRow.name)
    return None if session.scalar(statement) else found(session, project, key)


def found(session: Session, project: str, key: Key) -> str | None:
    """What the key made before. Raises PithError ``idempotency_key_reused``."""
    row = session.get(KeyRow, (project, key.name))
    if row is not None and row.asked != key.asked:
        raise PithError("idempotency_key_reused", key=key.name, id=row.made)
    return None if row is None else row.made


def expire(db: Database) -> None:
    with db.session() as session:
        session.execute(delete(KeyRow).where(KeyRow.created_at < clock.now_plus(-KEPT_SECONDS)))
