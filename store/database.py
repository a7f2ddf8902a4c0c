"""The database: one transaction at a time. SQLite and PostgreSQL behave the same through this door."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from pith.errors import PithError
from store.migrate import Standing, standing, upgrade

_OLDEST_SQLITE = (3, 35)  # RETURNING


class Database:
    """One per process, shared by its threads. Connects on first use."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self._engine = _sqlite(self.url) if self.is_sqlite else _postgresql(self.url)
        self._writers = sessionmaker(self._engine, expire_on_commit=False)
        reading = self._engine.execution_options(pith_reads=True, postgresql_readonly=True)
        self._readers = sessionmaker(reading, expire_on_commit=False)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction that may write; commits on leaving, rolls back on an exception.

        Raises:
            PithError: ``unavailable`` when the database does not answer, ``storage_full``.
        """
        with _told_plainly(), self._writers.begin() as session:
            yield session

    @contextmanager
    def reader(self) -> Iterator[Session]:
        """One transaction that only reads, and never waits for a writer. Raises as ``session`` does."""
        with _told_plainly(), self._readers.begin() as session:
            yield session

    def ping(self) -> None:
        """Raises PithError ``unavailable`` when the database does not answer."""
        with self.reader() as session:
            session.execute(text("SELECT 1"))

    def standing(self) -> Standing:
        """Whether the tables are those of this version. Raises PithError ``unavailable``."""
        with self.reader() as session:
            return standing(session.connection())

    def migrate(self) -> None:
        """Bring the tables up to date. Processes that start together wait for one another."""
        with _told_plainly():
            upgrade(self._engine)

    def close(self) -> None:
        self._engine.dispose()


@contextmanager
def _told_plainly() -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise PithError("unavailable", what="The database") from error
    except DBAPIError as error:
        raise _plain(error) or error from error


def _plain(error: DBAPIError) -> PithError | None:
    if "disk is full" in str(error.orig) or getattr(error.orig, "sqlstate", None) == "53100":
        return PithError("storage_full", needed="Some")
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return PithError("unavailable", what="The database")
    return None


def _sqlite(url: URL) -> Engine:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise PithError("sqlite_too_old", found=sqlite3.sqlite_version)
    Path(url.database or "").absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_size=8, max_overflow=40)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions behind our back
    for pragma in ("busy_timeout=15000", "journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that starts to write fails at once when another wrote meanwhile: no timeout helps.
    reads = connection.get_execution_options().get("pith_reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _postgresql(url: URL) -> Engine:
    # A network that swallows everything is noticed: what is sent and not acknowledged, and silence, end a connection.
    noticed = {"tcp_user_timeout": 10_000, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 2}
    settings = "-c statement_timeout=30s -c lock_timeout=15s -c timezone=UTC"
    options = {"connect_timeout": 5, "options": settings, **noticed}
    return create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=40, connect_args=options)
