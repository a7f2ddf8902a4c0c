"""Says that this worker is there, again and again from a thread of its own, until it leaves."""

import logging
import socket
import threading
from collections.abc import Callable

from pith.errors import PithError
from store.workers import SEEN_SECONDS, Workers
from worker.workplace import Workplace

_log = logging.getLogger(__name__)


class Presence:
    def __init__(self, workers: Workers, place: Workplace) -> None:
        self._workers = workers
        self._place = place
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Said at once, so that nobody waits for this worker."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
            self._say(lambda: self._workers.left(self._place.name))

    def _run(self) -> None:
        pause = min(self._place.settings.heartbeat_seconds, SEEN_SECONDS / 4)
        while True:
            self._say(self._seen)
            if self._over.wait(pause):
                return

    def _seen(self) -> None:
        place = self._place
        self._workers.seen(place.name, socket.gethostname(), place.device, place.options.worker_queues)

    def _say(self, what: Callable[[], None]) -> None:
        try:
            what()
        except PithError as error:
            _log.warning("nobody was told that this worker is there: %s", error)
        except Exception:  # of no importance to a job
            _log.exception("nobody was told that this worker is there")
