"""Readiness tells the truth, and soon: a real PostgreSQL that hangs, tables of other versions, a disk that fills."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from store.database import Database
from store.migrate import Standing
from tests.app.api_process import ApiProcess, running
from tests.processes import descendants
from tests.store.postgres_process import PostgresProcess
from tests.waiting import eventually


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresProcess]:
    server = PostgresProcess()
    yield server
    server.close()


@pytest.fixture
def api(postgres: PostgresProcess, tmp_path: Path) -> Iterator[ApiProcess]:
    url = postgres.create_database(f"health_{os.urandom(4).hex()}")
    with running(tmp_path / "data", PITH_DATABASE_URL=url) as api:
        yield api


def readyz(api: ApiProcess) -> httpx.Response:
    return httpx.get(f"{api.url}/readyz", timeout=60)


@contextmanager
def stopped(postgres: PostgresProcess) -> Iterator[None]:
    """Every process of it: connections stay open, and nothing is answered."""
    family = [postgres.pid, *descendants(postgres.pid)]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in family:
            os.kill(pid, signal.SIGCONT)


def test_a_database_that_hangs_neither_hangs_readiness_nor_liveness(api: ApiProcess, postgres: PostgresProcess) -> None:
    assert readyz(api).json()["checks"]["database"] == {"state": "ok", "reason": None}
    with stopped(postgres):
        # More than there are threads for requests.
        callers = [threading.Thread(target=_ask, args=(f"{api.url}/v1/models",)) for _ in range(60)]
        for caller in callers:
            caller.start()
        for _ in range(3):
            answer = readyz(api)
            assert answer.status_code == 503
            assert answer.json()["checks"]["database"]["state"] == "failed"  # by our limit, or by the driver's
            assert answer.json()["checks"]["storage"]["state"] == "ok"
            assert httpx.get(f"{api.url}/livez", timeout=60).is_success
        threads = Path(f"/proc/{api.process.pid}/task")
        assert len(list(threads.iterdir())) < 100  # one question hangs, however often it was put
    for caller in callers:
        caller.join()
    eventually(lambda: readyz(api).is_success)


def _ask(url: str) -> None:
    try:
        httpx.get(url, timeout=5)
    except httpx.TimeoutException:
        return


def test_tables_of_another_version_are_told(api: ApiProcess, postgres: PostgresProcess) -> None:
    url = api.setting("PITH_DATABASE_URL")
    _psql(url, "UPDATE alembic_version SET version_num = '0001'")
    old = readyz(api)
    assert old.status_code == 503 and "revision 0001" in old.json()["checks"]["database"]["reason"]
    _psql(url, "UPDATE alembic_version SET version_num = '9999'")
    new = readyz(api)
    assert new.status_code == 200 and new.json()["status"] == "degraded"
    assert "update this process" in new.json()["checks"]["database"]["reason"]
    _psql(url, "DROP TABLE alembic_version")
    assert readyz(api).status_code == 503


def _psql(url: str, statement: str) -> None:
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def test_a_disk_that_fills_and_one_that_cannot_be_written(tmp_path: Path) -> None:
    with running(tmp_path / "data", PITH_MIN_FREE_BYTES=2**60) as api:
        answer = readyz(api)
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert "PITH_MIN_FREE_BYTES" in answer.json()["checks"]["disk"]["reason"]
        subprocess.run(["mv", tmp_path / "data/blobs/incoming", tmp_path / "data/blobs/gone"], check=True)
        answer = readyz(api)
        assert answer.status_code == 503 and answer.json()["checks"]["storage"]["state"] == "failed"
        assert answer.json()["checks"]["storage"]["reason"]


def test_a_fresh_database_stands_as_it_should(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/pith.db")
    db.migrate()
    found = db.standing()
    db.close()
    assert found == Standing("current", found.known, found.known) and found.known


def test_the_id_of_a_request_is_kept_or_made_and_given_back(tmp_path: Path) -> None:
    with running(tmp_path / "data", PITH_LOG_REQUESTS="true") as api:
        given = httpx.get(f"{api.url}/v1/jobs/job_none", headers={"X-Request-Id": "mine.1"})
        assert given.headers["x-request-id"] == given.json()["request_id"] == "mine.1"
        for odd in ("a b", "x" * 129, "é".encode("latin-1")):
            answer = httpx.get(f"{api.url}/v1/jobs", headers={"X-Request-Id": odd})
            assert len(answer.headers["x-request-id"]) == 16
        refused = httpx.get(f"{api.url}/v1/jobs", headers={"Host": "evil.example", "X-Request-Id": "mine.2"})
        assert refused.json()["request_id"] == refused.headers["x-request-id"] == "mine.2"
        httpx.get(f"{api.url}/v1/jobs?signature=s3cr-et", headers={"Authorization": "Bearer s3cr-et"})
        httpx.get(f"{api.url}/%0a2026-01-01%20INFO%20root:%20all%20is%20well")
        httpx.get(f"{api.url}/readyz")
        said = eventually(lambda: api.log.read_text() if "all is well" in api.log.read_text() else None)
    lines = [line for line in said.splitlines() if " pith.requests: " in line]
    assert len(lines) == 7 and "GET /v1/jobs/job_none 404 in " in lines[0] and lines[0].endswith("request_id=mine.1")
    assert "s3cr-et" not in said and not any(line.startswith("2026-01-01 INFO") for line in said.splitlines())
    assert "readyz" not in said
