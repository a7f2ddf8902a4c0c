"""Real databases, a real Redis and real folders. Every test gets its own."""

import itertools
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from pith.access import DEFAULT_PROJECT
from store.database import Database
from store.settings import Settings
from store.tables import Table
from tests.store.postgres_process import PostgresProcess
from tests.store.redis_process import RedisProcess
from tests.store.shop import Shop
from tests.store.storage import BucketStorage, FolderStorage, Storage
from tests.store.swift_process import SwiftProcess

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
def postgres() -> Iterator[PostgresProcess]:
    server = PostgresProcess()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres_migrated(postgres: PostgresProcess) -> str:
    url = postgres.create_database("pith")
    db = Database(url)
    db.migrate()
    db.close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    server: PostgresProcess = request.getfixturevalue("postgres")
    return server.create_database(f"empty_{next(_numbers)}_{secrets.token_hex(4)}")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with its tables, and nothing in them."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "pith.db")
        return f"sqlite:///{tmp_path}/pith.db"
    url: str = request.getfixturevalue("postgres_migrated")
    with psycopg.connect(url, autocommit=True) as connection:
        tables = ", ".join(Table.metadata.tables.keys() - {"projects"})
        connection.execute(f"TRUNCATE {tables}; DELETE FROM projects WHERE id <> '{DEFAULT_PROJECT}'".encode())
        connection.execute("UPDATE projects SET quotas = '{}'")
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


@pytest.fixture
def s3(swift: SwiftProcess, bucket: str, tmp_path: Path) -> Settings:
    """Settings whose blobs are under a prefix of their own."""
    fields = swift.settings(bucket) | {"blob_url": f"s3://{bucket}/{secrets.token_hex(8)}"}
    return Settings.model_validate({"data_dir": tmp_path / "data", **fields})


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """Blobs of each kind, seen from outside too."""
    if request.param == "folder":
        yield FolderStorage(tmp_path / "blobs")
        return
    shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "pith.db")
    storage = BucketStorage(request.getfixturevalue("s3"), f"sqlite:///{tmp_path}/pith.db")
    yield storage
    storage.close()
