"""The database: one transaction at a time. SQLite and PostgreSQL behave the same through this door."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session


class Database:
    """One per process, shared by its threads. Connects on first use."""

    def __init__(self, url: str) -> None:
        raise NotImplementedError

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction that may write; commits on leaving, rolls back on an exception.

        Raises:
            PithError: ``unavailable`` when the database does not answer, ``storage_full``.
        """
        raise NotImplementedError
        yield

    @contextmanager
    def reader(self) -> Iterator[Session]:
        """One transaction that only reads, and never waits for a writer. Raises as ``session`` does."""
        raise NotImplementedError
        yield

    def ping(self) -> None:
        """Raises PithError ``unavailable`` when the database does not answer."""
        raise NotImplementedError

    def migrate(self) -> None:
        """Bring the tables up to date. Processes that start together wait for one another."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
