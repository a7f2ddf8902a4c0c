"""The Celery application: one task, which takes a job id. Celery's settings are in store/queue.py."""

import logging
import os
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

from celery import Celery, signals
from celery.exceptions import SecurityWarning
from pydantic import ValidationError

from pith.errors import PithError
from store.blobs import open_blobs
from store.database import Database
from store.jobs import Jobs
from store.queue import QUEUE_NAMES, TASK_NAME, celery_settings
from store.settings import Settings, refusal
from worker import sandbox, staging, supervise
from worker.nudge import Nudge
from worker.rest import Rest
from worker.settings import QueueName, WorkerSettings
from worker.warm_client import WarmServer
from worker.workplace import Workplace

FLAGS = (
    "--pool=threads",  # the task only waits for a process
    "--concurrency=1",
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
    "--loglevel=INFO",
)
# A message is acknowledged before its job begins; losing Redis is no reason to stop the job.
_OF_A_WORKER = {"worker_cancel_long_running_tasks_on_connection_loss": False}
IDLE_SECONDS = 300.0
_log = logging.getLogger(__name__)


def make_app(server: WarmServer) -> Celery:
    """An application whose jobs run in processes of that fork server. Reads no setting before it works."""
    app = Celery("pith", set_as_current=False)
    app.add_defaults(lambda: celery_settings(Settings().redis_url) | _OF_A_WORKER)

    @cache
    def place() -> Workplace:
        return open_workplace(server)

    @cache
    def rest() -> Rest:
        return Rest(server, IDLE_SECONDS if is_checker(place().options) else None)

    nudge = Nudge(app)

    def run_job(job_id: str) -> None:
        with nudge.after(), rest().over():
            supervise.run(place(), job_id)

    app.task(run_job, name=TASK_NAME)
    signals.worker_init.connect(lambda **_: _or_leave(lambda: prepare(place())), weak=False)
    # app.up waits for the end of this line.
    signals.worker_ready.connect(lambda **_: _log.info("takes %s; ready.", queues()), weak=False)
    signals.worker_shutting_down.connect(lambda **_: place().stopping.set(), weak=False)
    signals.worker_shutdown.connect(lambda **_: server.close(), weak=False)
    return app


def start(app: Celery) -> None:
    """Work until told to stop: SIGTERM gives the running job back and leaves within seconds."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    hush()
    _or_leave(
        lambda: app.worker_main(
            ["--quiet", "worker", *FLAGS, f"--queues={queues()}", f"--hostname=pith-{os.getpid()}@%h"]
        )
    )


def hush() -> None:
    """What is said at every start and tells nobody anything; what goes wrong is still said."""
    for name in ("alembic", "celery.apps.worker"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Messages hold ids alone, and jobs are confined whoever the worker is.
    warnings.filterwarnings("ignore", r"\s*You're running the worker with superuser", SecurityWarning)


def queues() -> str:
    """Those of PITH_WORKER_QUEUES as Celery names them, checks of uploads first."""
    names: dict[QueueName, str] = {"intake": QUEUE_NAMES["intake"], "jobs": QUEUE_NAMES["compression"]}
    wanted = WorkerSettings().worker_queues
    return ",".join(queue for name, queue in names.items() if name in wanted)


def is_checker(options: WorkerSettings) -> bool:
    """Whether this worker only checks uploads: seldom, so that its fork server need not stand by."""
    return options.worker_queues == ("intake",)


def _or_leave(begin: Callable[[], object]) -> None:
    """Celery logs what a signal's handler raises and goes on; a worker that cannot work must not."""
    try:
        begin()
    except (PithError, ValidationError) as error:
        _log.error("the worker cannot start: %s", refusal(error))
        raise SystemExit(2) from None


def open_workplace(server: WarmServer) -> Workplace:
    settings = Settings()
    database = Database(settings.database_url)
    database.migrate()
    return Workplace(
        jobs=Jobs(database, settings.max_attempts, settings.retry_seconds),
        blobs=open_blobs(settings.blob_url),
        server=server,
        settings=settings,
        options=WorkerSettings(),
    )


def prepare(place: Workplace) -> None:
    """Runs in the main thread, before there are others: the probe forks.

    Raises:
        PithError: ``sandbox_incomplete``.
    """
    announce_sandbox(place.options.sandbox)
    staging.sweep(place.settings.data_dir, place.jobs)
    if not is_checker(place.options):
        place.server.warm_up()


def announce_sandbox(wanted: Any) -> None:
    found = () if wanted == "off" else sandbox.probe()
    missing = [layer for layer in sandbox.LAYERS if layer not in found]
    _log.info("protections around jobs: %s", ", ".join(found) or "none")
    if missing and wanted == "require":
        raise PithError("sandbox_incomplete", missing=", ".join(missing))
    if missing:
        _log.warning("protections that are off: %s", ", ".join(missing))
