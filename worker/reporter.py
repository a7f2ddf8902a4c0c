"""Hands on to the database what a job's process says of itself, in batches, and keeps it while the database is away."""

import logging
import time
from pathlib import Path

from pith.errors import PithError
from pith.job import EngineEvent, JobSpec, Progress
from store.attempts import Claim
from store.jobs import Jobs
from worker.pulse import Pulse
from worker.steps import Steps
from worker.tail import EventTail

RECORD_SECONDS = 0.4
PENDING = 2000
BATCH = 200
_DRAIN_READS = 16
_log = logging.getLogger(__name__)


class Reporter:
    """Not thread-safe: the supervising loop's own."""

    def __init__(self, jobs: Jobs, claim: Claim, pulse: Pulse, events: Path) -> None:
        self._jobs = jobs
        self._claim = claim
        self._pulse = pulse
        self._steps = claim.job.spec.recipe if isinstance(claim.job.spec, JobSpec) else ()
        self._tail = EventTail(events, len(self._steps))
        self._watched = Steps(self._steps)
        self._pending: list[EngineEvent] = []
        self._told: Progress | None = None
        self._next = time.monotonic()

    def report(self) -> None:
        """Read and record, when it is time to."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + RECORD_SECONDS
            self._read()
            try:
                self._record()
            except PithError as error:
                _log.warning("job %s: its events could not be recorded yet: %s", self._claim.job.id, error)

    def finish(self) -> None:
        """Read what is left: a bounded amount, after the process has ended."""
        for _ in range(_DRAIN_READS):
            if not self._read():
                break

    def flush(self) -> None:
        """Record what has been read. Raises PithError when the database does not take it now."""
        while self._pending or self._tail.progress != self._told:
            self._record()

    def close(self) -> None:
        self._tail.close()
        self._watched.close()

    def where(self) -> str:
        """The place that the process last said it was at."""
        progress = self._tail.progress
        if progress is None:
            return "its start"
        step = "" if progress.step is None else f"recipe[{progress.step}] ({self._steps[progress.step].kind}), "
        return f"{step}{progress.message or 'unnamed'}, {progress.fraction:.0%} of the job"

    def _read(self) -> bool:
        events, more = self._tail.read()
        self._watched.hear(events)
        self._pending = (self._pending + events)[-PENDING:]
        return more

    def _record(self) -> None:
        batch, progress = self._pending[:BATCH], self._tail.progress
        if batch or progress != self._told:
            self._pulse.heard(self._jobs.record(self._claim.job.id, self._claim.attempt, batch, progress))
            self._pending, self._told = self._pending[len(batch) :], progress
