"""The scheduler: sends what is due, takes jobs from lost workers, deletes what nobody needs any more. Runs no job.

``python -m store.scheduler``; any number of them may run, and none is needed for the API to answer.
"""

import contextlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from pith.errors import PithError
from pith.ids import JobId
from store import checkpoints, idempotency, logs, metrics
from store.blobs import Blobs, open_blobs
from store.census import Census
from store.database import Database
from store.dispatch import dispatch
from store.jobs import Jobs
from store.lanes import LANES, Lane
from store.port import Life, open_port
from store.queue import Queue
from store.references import sweep
from store.room import FreeDisk
from store.settings import Settings, refusal
from store.uploads import open_uploads
from store.webhooks import Outbox

LOST_MESSAGE_SECONDS = 15
SWEEP_SECONDS = 3600
ROUND_SECONDS = 300.0
"""One that is longer round has lost its database without hearing of it, or hangs."""
log = logging.getLogger("store.scheduler")


def elapsed() -> float:
    """Seconds that also pass while the machine is suspended, where the system can tell."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Scheduler:
    def __init__(
        self, db: Database, blobs: Blobs, queue: Queue, settings: Settings, clock: Callable[[], float] = elapsed
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._jobs = Jobs(db, settings.max_attempts, settings.retry_seconds)
        self._queue = queue
        self._uploads = open_uploads(db, blobs, settings.upload_expire_seconds)
        self._settings = settings
        self._clock = clock
        self._ticked_at = clock()
        self._sweep_at = clock()
        self._away = False
        self._wait_a_lease()

    def run(self, stop: threading.Event, life: Life) -> None:
        while not stop.is_set():
            life.beat("scheduler", ROUND_SECONDS + self._settings.dispatch_seconds)
            self.tick()
            stop.wait(self._settings.dispatch_seconds)

    def tick(self) -> None:
        """Do what is due. Never raises because the database or the queue is away."""
        if self._clock() - self._ticked_at > self._settings.lease_seconds:
            self._wait_a_lease()  # suspended: so were the workers, perhaps
        try:
            self._send()
            self._reap()
            self._sweep()
            self._away = False
        except (PithError, SQLAlchemyError) as error:
            self._wait_a_lease()
            if not self._away:
                log.warning("the database does not answer; jobs wait: %s", error)
            self._away = True
        self._ticked_at = self._clock()

    def _wait_a_lease(self) -> None:
        """Workers that could not renew their lease either get the time to do so before anything is reaped."""
        self._reap_at = self._clock() + self._settings.lease_seconds

    def _send(self) -> None:
        # Messages that were lost are sent again, but not those that only wait for a worker.
        due = [(job, False) for job in self._jobs.due()]
        lost = [(job, True) for lane in LANES for job in self._lost(lane)]
        for job, again in (*due, *lost):
            if not dispatch(self._jobs, self._queue, job, again):
                return

    def _lost(self, lane: Lane) -> tuple[JobId, ...]:
        lost = self._jobs.overdue(LOST_MESSAGE_SECONDS, lane)
        return lost if lost and self._is_empty(lane) else ()

    def _is_empty(self, lane: Lane) -> bool:
        try:
            return self._queue.depth(lane) == 0
        except PithError:
            return False

    def _reap(self) -> None:
        if self._clock() < self._reap_at:
            return
        for job in self._jobs.reap():
            metrics.LEASES_REAPED.inc()
            log.warning("job %s was taken from a worker that was lost", job, extra={"job": job})
        checkpoints.release(self._db, self._blobs)
        self._uploads.expire()
        self._retire()
        self._reap_at = self._clock() + self._settings.reap_seconds

    def _retire(self) -> None:
        if (age := self._settings.retain_seconds) is None:
            return
        for job in self._jobs.outdated(age):
            with contextlib.suppress(PithError):  # another scheduler was faster
                self._jobs.delete(
                    job, self._blobs, f"it had ended more than {age:g} seconds before (PITH_RETAIN_SECONDS)"
                )
                log.info("job %s is deleted: it ended long ago", job)

    def _sweep(self) -> None:
        if self._clock() < self._sweep_at:
            return
        self._sweep_at = self._clock() + SWEEP_SECONDS
        idempotency.expire(self._db)
        Outbox(self._db).expire()
        if swept := sweep(self._db, self._blobs):
            log.info("%d blobs that nothing referred to were deleted", swept)


def main() -> int:
    stop, life = threading.Event(), Life()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = Settings()
        logs.set_up(settings, "scheduler")
        queue = Queue(settings.redis_url)
        db = Database(settings.database_url)
        scheduler = Scheduler(db, open_blobs(settings, db), queue, settings)
        metrics.REGISTRY.register(Census(db))
        metrics.REGISTRY.register(FreeDisk(settings))
        open_port(settings, life)
    except (ValidationError, PithError) as error:
        logging.basicConfig()
        log.error("cannot start: %s", refusal(error))
        return 2
    log.info("started")
    scheduler.run(stop, life)
    db.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
