"""The heartbeat of a running job: renews the lease and looks whether the job was cancelled, from a thread of its own,
so that long copies and hashes do not stop it. A database that does not answer changes nothing."""

import logging
import threading
import time
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import cast, get_args

from pith.errors import PithError
from store.attempts import Beat, Claim
from store.jobs import Jobs
from store.transitions import HELD
from worker import metrics

LOOK_SECONDS = 0.5
_ORDER: tuple[Beat, ...] = get_args(Beat)
_log = logging.getLogger(__name__)


class Pulse:
    """``verdict`` is what the database last said of the job; it never returns to an earlier one of running, pausing,
    cancelling, fenced."""

    def __init__(self, jobs: Jobs, claim: Claim, lease_seconds: float, heartbeat_seconds: float) -> None:
        self.verdict: Beat = "running"
        self._jobs = jobs
        self._claim = claim
        self._lease = lease_seconds
        self._heartbeat = heartbeat_seconds
        self._over = threading.Event()
        # What it logs has the fields of whoever begins it.
        run = partial(copy_context().run, self._run)
        self._thread = threading.Thread(target=run, name=f"pulse of {claim.job.id}", daemon=True)

    def __enter__(self) -> "Pulse":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        metrics.HEARTBEAT_LAG.set(0)

    def heard(self, verdict: Beat) -> None:
        """Something else was told by the database how the job stands."""
        if _ORDER.index(verdict) > _ORDER.index(self.verdict):
            self.verdict = verdict

    def _run(self) -> None:
        beat_at = time.monotonic() + self._heartbeat
        while self.verdict != "fenced" and not self._over.wait(min(LOOK_SECONDS, self._heartbeat)):
            try:
                if time.monotonic() >= beat_at:
                    self.heard(self._jobs.beat(self._claim.job.id, self._claim.attempt, self._lease))
                    beat_at = time.monotonic() + self._heartbeat
                else:
                    self._look()
            except PithError as error:
                _log.warning("job %s: the lease could not be renewed: %s", self._claim.job.id, error)
            except Exception:  # the job must not lose its heartbeat to a defect here
                _log.exception("job %s: the lease could not be renewed", self._claim.job.id)
            metrics.HEARTBEAT_LAG.set(max(time.monotonic() - beat_at, 0))

    def _look(self) -> None:
        job = self._jobs.get(self._claim.job.id)
        held = job.attempt == self._claim.attempt and job.status in HELD
        self.heard(cast(Beat, job.status) if held else "fenced")
