"""The numbers that only the database knows, counted by the scheduler: jobs, queues, stored bytes.

However many ask, the database is asked once in a while, by one thread at a time; while it does not answer there are no
such numbers, rather than old ones.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, get_args

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select, union
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from pith.errors import PithError
from pith.job import JobKind, JobStatus
from store import clock
from store.database import Database
from store.lanes import Lane, lane_of
from store.tables import ArtifactRow, CheckpointRow, DatasetRow, DeliveryRow, JobRow, ModelRow, PartRow
from store.waiting import free

SECONDS = 10.0
STORED_SECONDS = 300.0
QUEUES: dict[Lane, str] = {"intake": "intake", "compression": "jobs", "cpu": "jobs_cpu", "gpu": "jobs_gpu"}
"""What a queue is called in numbers: of jobs for any worker, for one without a GPU, for one with it."""
log = logging.getLogger(__name__)


class Counted(NamedTuple):
    """``oldest`` is in seconds, of those that could be taken up now; ``untried`` of messages to webhooks that nobody
    has tried to bring."""

    jobs: dict[tuple[str, str], int]
    depth: dict[str, int]
    oldest: dict[str, float]
    messages: int
    untried: float


class Census(Collector):
    def __init__(self, db: Database, seconds: float = SECONDS, stored_seconds: float = STORED_SECONDS) -> None:
        self._db = db
        self._counted = _Remembered(lambda: self._ask(_count), seconds)
        self._stored = _Remembered(lambda: self._ask(_stored_bytes), stored_seconds)

    def describe(self) -> Iterable[Metric]:
        """Nothing is counted when it is registered."""
        return _families(None, None)

    def collect(self) -> Iterator[Metric]:
        return _families(self._counted.get(), self._stored.get())

    def _ask(self, what: Callable[[Session], object]) -> object | None:
        try:
            with self._db.reader() as session:
                return what(session)
        except (PithError, SQLAlchemyError) as error:
            log.warning("there are no numbers of jobs: %s", error)
            return None


class _Remembered:
    """An answer, kept for a while. Who asks while another finds it out waits for that."""

    def __init__(self, ask: Callable[[], object | None], seconds: float) -> None:
        self._ask, self._seconds = ask, seconds
        self._lock = threading.Lock()
        self._until = float("-inf")
        self._answer: object | None = None

    def get(self) -> object | None:
        with self._lock:
            if time.monotonic() >= self._until:
                self._answer = self._ask()
                self._until = time.monotonic() + self._seconds
            return self._answer


def _families(counted: object | None, stored: object | None) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("pith_jobs", "Jobs that there are.", labels=["kind", "status"])
    depth = GaugeMetricFamily("pith_queue_depth", "Jobs that a worker could take up now.", labels=["queue"])
    oldest = GaugeMetricFamily(
        "pith_queue_oldest_age_seconds", "How long ago the oldest of them was submitted; 0 for none.", labels=["queue"]
    )
    blobs = GaugeMetricFamily("pith_blob_bytes", "Bytes of all that models, datasets and jobs keep, each blob once.")
    if isinstance(counted, Counted):
        for (kind, status), number in counted.jobs.items():
            jobs.add_metric([kind, status], number)
        for queue, number in counted.depth.items():
            depth.add_metric([queue], number)
            oldest.add_metric([queue], counted.oldest[queue])
    if isinstance(stored, int):
        blobs.add_metric([], stored)
    messages = GaugeMetricFamily(
        "pith_webhook_messages", "Messages to webhooks that have not arrived and are sent again."
    )
    untried = GaugeMetricFamily(
        "pith_webhook_untried_age_seconds", "How long the oldest message waits that no courier has tried; 0 for none."
    )
    if isinstance(counted, Counted):
        messages.add_metric([], counted.messages)
        untried.add_metric([], counted.untried)
    yield from (jobs, depth, oldest, blobs, messages, untried)


def _count(session: Session) -> Counted:
    """Every kind, status and queue has its number, so that a series never goes away."""
    jobs = {(kind, status): 0 for kind in get_args(JobKind) for status in get_args(JobStatus)}
    for kind, status, number in session.execute(
        select(JobRow.kind, JobRow.status, func.count()).group_by(JobRow.kind, JobRow.status)
    ):
        jobs[kind, status] = number
    waiting = select(JobRow.kind, JobRow.device, func.count(), func.max(clock.since(JobRow.created_at)))
    waiting = waiting.where(JobRow.status == "queued", *free()).group_by(JobRow.kind, JobRow.device)
    depth, oldest = dict.fromkeys(QUEUES.values(), 0), dict.fromkeys(QUEUES.values(), 0.0)
    for kind, device, number, age in session.execute(waiting):
        queue = QUEUES[lane_of(kind, device)]
        depth[queue], oldest[queue] = number, max(age, 0) / 1_000_000
    pending = select(func.count()).where(DeliveryRow.next_at.is_not(None))
    untried = select(func.max(clock.since(DeliveryRow.created_at))).where(
        DeliveryRow.next_at.is_not(None), DeliveryRow.attempts == 0
    )
    waits = max(session.scalar(untried) or 0, 0) / 1_000_000
    return Counted(jobs, depth, oldest, session.scalar(pending) or 0, waits)


def _stored_bytes(session: Session) -> int:
    tables = (ModelRow, DatasetRow, PartRow, CheckpointRow, ArtifactRow)
    every = union(*(select(table.digest, table.size_bytes).where(table.digest.is_not(None)) for table in tables))
    return int(session.scalar(select(func.sum(every.subquery().c.size_bytes))) or 0)
