"""The Celery application: one task, which takes a job id. Celery's settings are in store/queue.py."""

import logging
import os
import warnings
from collections.abc import Callable
from functools import cache

from celery import Celery, signals
from celery.apps import worker as celery_worker
from celery.exceptions import SecurityWarning
from pydantic import ValidationError

from pith.errors import PithError
from pith.worker import WorkerQueue
from store import logs, metrics, traces
from store.blobs import open_blobs
from store.database import Database
from store.jobs import Jobs
from store.lanes import Lane
from store.port import open_port
from store.queue import QUEUE_NAMES, TASK_NAME, celery_settings
from store.room import FreeDisk
from store.settings import Settings, refusal
from store.workers import Workers
from worker import devices, sandbox, staging, supervise
from worker.gpu import Gpus
from worker.nudge import Nudge
from worker.presence import Presence
from worker.rest import Rest
from worker.rounds import rounds
from worker.settings import WorkerSettings
from worker.warm_client import WarmServer
from worker.workplace import Workplace

FLAGS = (
    "--pool=threads",  # the task only waits for a process
    "--concurrency=1",
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
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
        return Rest(server, IDLE_SECONDS if is_seldom(place().options) else None)

    @cache
    def presence() -> Presence:
        return Presence(Workers(place().database), place())

    nudge = Nudge(app)

    def run_job(job_id: str) -> None:
        with nudge.after(), rest().over():
            supervise.run(place(), job_id)

    app.task(run_job, name=TASK_NAME)
    app.steps["consumer"].add(rounds(lambda: place().life))
    signals.worker_init.connect(lambda **_: _or_leave(lambda: _begin(place())), weak=False)
    # app.up waits for the end of this line.
    signals.worker_ready.connect(lambda **_: presence().begin(), weak=False)
    signals.worker_ready.connect(lambda **_: _log.info("takes %s; ready.", queues()), weak=False)
    signals.worker_shutting_down.connect(lambda **_: place().stopping.set(), weak=False)
    signals.worker_shutdown.connect(lambda **_: presence().end(), weak=False)
    signals.worker_shutdown.connect(lambda **_: server.close(), weak=False)
    return app


def start(app: Celery) -> None:
    """Work until told to stop: SIGTERM gives the running job back and leaves within seconds."""
    signals.setup_logging.connect(_leave_logging_alone)
    _or_leave(lambda: logs.set_up(Settings(), process_name(WorkerSettings())))
    hush()
    _or_leave(
        lambda: app.worker_main(
            ["--quiet", "worker", *FLAGS, f"--queues={queues()}", f"--hostname=pith-{os.getpid()}@%h"]
        )
    )


def _leave_logging_alone(**_: object) -> None:
    """Celery sets nothing up where somebody answers its signal."""


def hush() -> None:
    """What is said at every start and tells nobody anything, or tells addresses that may hold a secret; what goes wrong
    is still said."""
    for name in ("alembic", "celery.apps.worker", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Printed past all logging, from within a signal's handler; whoever ends the worker knows it.
    celery_worker.safe_say = lambda *_: None
    # Messages hold ids alone, and jobs are confined whoever the worker is.
    warnings.filterwarnings("ignore", r"\s*You're running the worker with superuser", SecurityWarning)


def queues() -> str:
    """Those of PITH_WORKER_QUEUES and of the device as Celery names them, in the order of QUEUE_NAMES."""
    options = WorkerSettings()
    own: Lane = devices.resolve(options)
    lanes: dict[WorkerQueue, set[Lane]] = {"intake": {"intake"}, "jobs": {own, "compression"}, "own": {own}}
    wanted = set[Lane]().union(*(lanes[queue] for queue in options.worker_queues))
    return ",".join(name for lane, name in QUEUE_NAMES.items() if lane in wanted)


def is_seldom(options: WorkerSettings) -> bool:
    """Whether this worker has little to do, as one that only checks uploads, so that its fork server need not stand
    by."""
    return "jobs" not in options.worker_queues


def process_name(options: WorkerSettings) -> str:
    return "checker" if options.worker_queues == ("intake",) else "worker"


def _or_leave(begin: Callable[[], object]) -> None:
    """Celery logs what a signal's handler raises and goes on; a worker that cannot work must not."""
    try:
        begin()
    except (PithError, ValidationError) as error:
        logging.basicConfig()
        _log.error("the worker cannot start: %s", refusal(error))
        raise SystemExit(2) from None


def open_workplace(server: WarmServer) -> Workplace:
    settings = Settings()
    database = Database(settings.database_url)
    database.migrate()
    options = WorkerSettings()
    return Workplace(
        database=database,
        jobs=Jobs(database, settings.max_attempts, settings.retry_seconds),
        blobs=open_blobs(settings, database),
        server=server,
        settings=settings,
        options=options,
        device=devices.resolve(options),
    )


def prepare(place: Workplace) -> None:
    """Runs in the main thread, before there are others: the probe forks.

    Raises:
        PithError: ``sandbox_incomplete``.
    """
    announce_sandbox(place.options)
    staging.sweep(place.settings.data_dir, place.jobs)
    if not is_seldom(place.options):
        place.server.warm_up()


def _begin(place: Workplace) -> None:
    """Threads begin last: the fork server's probe forks."""
    prepare(place)
    traces.set_up(process_name(place.options))
    for collector in (FreeDisk(place.settings), *([Gpus()] if place.device == "gpu" else [])):
        metrics.REGISTRY.register(collector)
    open_port(place.settings, place.life)


def announce_sandbox(options: WorkerSettings) -> None:
    """
    Raises:
        PithError: ``sandbox_incomplete``; ``setting_refused`` for processes that could not reach one another.
    """
    wanted = options.sandbox
    found = () if wanted == "off" else sandbox.probe()
    missing = [layer for layer in sandbox.LAYERS if layer not in found]
    _log.info("protections around jobs: %s", ", ".join(found) or "none")
    together = options.job_processes > 1 and options.worker_queues != ("intake",)
    if together and wanted != "off" and "network_namespace" in missing:
        reason = (
            "the system gives jobs no network of their own, in which alone their processes may talk to one another; "
            "set 1, or PITH_SANDBOX=off"
        )
        raise PithError("setting_refused", name="PITH_JOB_PROCESSES", value=options.job_processes, reason=reason)
    if missing and wanted == "require":
        raise PithError("sandbox_incomplete", missing=", ".join(missing))
    if missing:
        _log.warning("protections that are off: %s", ", ".join(missing))
