"""Bringing the tables up to date, by one process at a time. There is no way back: restore a backup instead."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from store import paths

_ADVISORY_LOCK = 0x70697468  # "pith"


def configuration(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(engine: Engine) -> None:
    with _alone(engine), engine.connect() as connection, _keeping_rows(connection), connection.begin():
        command.upgrade(configuration(connection), "head")
        _check_references(connection)


class Standing(NamedTuple):
    """How the tables stand to what this version knows: both as revisions."""

    are: Literal["current", "older", "newer"]
    found: str | None = None
    known: str | None = None


def standing(connection: Connection) -> Standing:
    """
    Raises:
        DBAPIError: there are no tables.
    """
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    known = _revisions()
    if found == known[0]:
        return Standing("current", found, found)
    return Standing("older" if found is None or found in known else "newer", found, known[0])


@cache
def _revisions() -> tuple[str, ...]:
    """Those that this version knows, newest first."""
    scripts = ScriptDirectory(str(Path(__file__).with_name("migrations")))
    return tuple(script.revision for script in scripts.walk_revisions())


@contextmanager
def _keeping_rows(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by making it anew, and would delete what refers to the old one along with it."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name != "sqlite":
        yield
        return
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def _check_references(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        assert not broken, f"the migration would leave rows that refer to nothing: {broken[:3]}"


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    if engine.dialect.name == "sqlite":
        with paths.lock_beside(Path(engine.url.database or "")).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        return
    with engine.connect() as connection:
        # As long as the first process needs, not as long as a query may wait.
        connection.execute(text("SET lock_timeout = 0"))
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _ADVISORY_LOCK})
        try:
            yield
        finally:
            connection.invalidate()  # closing the connection lets go of the lock and of the settings
