"""The Celery application: one task, which takes a job id. Start it by ``python -m worker``.

Celery's settings are in store/queue.py, its flags in worker/__main__.py.
"""

import logging
from functools import cache
from typing import Any

from celery import Celery, signals

from pith.errors import PithError
from store.blobs import open_blobs
from store.database import Database
from store.jobs import Jobs
from store.queue import TASK_NAME, celery_settings
from store.settings import Settings
from worker import sandbox, staging, supervise
from worker.settings import WorkerSettings
from worker.warm_client import WarmServer
from worker.workplace import Workplace

_log = logging.getLogger(__name__)

app = Celery("pith", set_as_current=False)
app.add_defaults(lambda: celery_settings(Settings().redis_url))


@app.task(name=TASK_NAME)  # type: ignore[untyped-decorator]
def run_job(job_id: str) -> None:
    supervise.run(workplace(), job_id)


@cache
def workplace() -> Workplace:
    """This worker's one workplace, made when it starts."""
    settings, options = Settings(), WorkerSettings()
    database = Database(settings.database_url)
    database.migrate()
    return Workplace(
        jobs=Jobs(database, settings.max_attempts),
        blobs=open_blobs(settings.blob_url),
        server=WarmServer(),
        settings=settings,
        options=options,
    )


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def prepare(**_: Any) -> None:
    """Runs in the main thread, before there are others: the probe forks.

    Raises:
        PithError: ``sandbox_incomplete``.
    """
    announce_sandbox(WorkerSettings())
    place = workplace()
    staging.sweep(place.settings.data_dir, place.jobs)
    place.server.warm_up()


def announce_sandbox(options: WorkerSettings) -> None:
    found = () if options.sandbox == "off" else sandbox.probe()
    missing = [layer for layer in sandbox.LAYERS if layer not in found]
    _log.info("protections around jobs: %s", ", ".join(found) or "none")
    if missing and options.sandbox == "require":
        raise PithError("sandbox_incomplete", missing=", ".join(missing))
    if missing:
        _log.warning("protections that are off: %s", ", ".join(missing))


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def leave(**_: Any) -> None:
    workplace().stopping.set()


@signals.worker_shutdown.connect  # type: ignore[untyped-decorator]
def close(**_: Any) -> None:
    workplace().server.close()
