"""Sends a fork server home when it has had nothing to do for a while: it holds some hundred megabytes. The next job
starts it again, and waits some seconds for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from worker.warm_client import WarmServer


class Rest:
    """``seconds`` of idleness end the server; None never does."""

    def __init__(self, server: WarmServer, seconds: float | None) -> None:
        self._server = server
        self._seconds = seconds
        self._lock = threading.Lock()
        self._working = 0
        self._timer: threading.Timer | None = None

    @contextmanager
    def over(self) -> Iterator[None]:
        """The server is needed now."""
        with self._lock:
            self._working += 1
        try:
            yield
        finally:
            with self._lock:
                self._working -= 1
                self._wait()

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._seconds is not None:
            self._timer = threading.Timer(self._seconds, self._close)
            self._timer.daemon = True
            self._timer.start()

    def _close(self) -> None:
        with self._lock:
            if not self._working:
                self._server.close()
