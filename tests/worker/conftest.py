"""A real fork server, a real sandbox, a real database; only the engine is a script that the test writes."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pith.job import Job
from store.database import Database
from store.jobs import Jobs
from store.settings import Settings
from tests.store.redis_process import RedisProcess
from tests.store.shop import Shop
from tests.worker.entries import ENTRY
from tests.worker.processes import Service
from worker import supervise
from worker.settings import WorkerSettings
from worker.warm_client import WarmServer
from worker.workplace import Workplace

ROOT = Path(__file__).parents[2]
FAST = {"lease_seconds": "3", "heartbeat_seconds": "0.2", "reap_seconds": "0.2", "dispatch_seconds": "0.1"}

SECRET = "postgresql://pith:a-password@host/pith"

Do = Callable[..., Job]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture(scope="session", autouse=True)
def importable() -> Iterator[None]:
    """The fork server must find this folder's entries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("PITH_DATABASE_URL_IN_TESTS", SECRET)
        yield


@pytest.fixture(scope="session")
def server(importable: None) -> Iterator[WarmServer]:
    server = WarmServer(ENTRY, preload=())
    yield server
    server.close()


@pytest.fixture
def data_dir(tmp_path: Path, sqlite_template: Path) -> Path:
    """With a database that has its tables."""
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(sqlite_template, folder / "pith.db")
    return folder


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    return Settings.model_validate({"data_dir": data_dir, **FAST})


@pytest.fixture
def shop(settings: Settings) -> Iterator[Shop]:
    """Its own ``jobs`` let no process be lost."""
    database = Database(settings.database_url)
    shop = Shop.open(database, settings.data_dir / "blobs")
    shop.jobs = Jobs(database, max_attempts=1)
    yield shop
    database.close()


@pytest.fixture
def place(shop: Shop, server: WarmServer, settings: Settings) -> Workplace:
    options = WorkerSettings.model_validate(
        {"job_memory_bytes": 1 << 30, "threads": 1, "device": "cpu", "drain_seconds": 0.5}
    )
    return Workplace(
        database=shop.db, jobs=shop.jobs, blobs=shop.blobs, server=server, settings=settings, options=options
    )


@pytest.fixture
def submit(shop: Shop) -> Do:
    """Queue a job whose process will run that script."""

    def submitted(script: str, **fields: object) -> Job:
        return shop.job(model=shop.model(script.encode()).id, **fields)

    return submitted


@pytest.fixture
def do(submit: Do, place: Workplace) -> Do:
    """Run a job from beginning to end, here; returns how it ended."""
    return _doing(submit, place)


@pytest.fixture
def do_freely(submit: Do, place: Workplace) -> Do:
    """The same without a sandbox."""
    return _doing(submit, replace(place, options=place.options.model_copy(update={"sandbox": "off"})))


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    server = RedisProcess(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def service(shop: Shop, settings: Settings, redis: RedisProcess, tmp_path: Path) -> Iterator[Service]:
    environment = {f"PITH_{name.upper()}": value for name, value in FAST.items()}
    environment |= {"PITH_DATA_DIR": str(settings.data_dir), "PITH_REDIS_URL": redis.url, "PITH_DEVICE": "cpu"}
    environment |= {"PITH_JOB_MEMORY_BYTES": str(1 << 30), "PITH_THREADS": "1", "PITH_DRAIN_SECONDS": "0.5"}
    service = Service(shop.jobs, environment, tmp_path / "log")
    yield service
    service.stop()


def _doing(submit: Do, place: Workplace) -> Do:
    def done(script: str, **fields: object) -> Job:
        job = submit(script, **fields)
        supervise.run(place, job.id)
        return place.jobs.get(job.id)

    return done
