"""How long a transfer may take, and whether it is still wanted: asked again and again while it waits."""

import time
from collections.abc import Callable

import httpx

from pith.errors import PithError

IDLE_SECONDS = 60.0
LEAST_BYTES = 1 << 16
"""A connection that brings less in IDLE_SECONDS is given up."""


class Unwanted(Exception):
    """Nobody waits for this transfer any more."""


class Patience:
    """To be called while waiting. ``arrived`` is what has come, in bytes."""

    def __init__(self, unwanted: Callable[[], bool], seconds: float, idle_seconds: float = IDLE_SECONDS) -> None:
        self.arrived = 0
        self._unwanted = unwanted
        self._seconds, self._idle_seconds = seconds, idle_seconds
        self._ends = time.monotonic() + seconds
        self.begin()

    def begin(self) -> None:
        """A connection begins."""
        self._mark, self._marked_at = self.arrived, time.monotonic()

    def __call__(self) -> None:
        """
        Raises:
            Unwanted: nobody waits for it.
            PithError: ``engine_timeout``.
            httpx.ReadTimeout: too little has come on this connection.
        """
        if self._unwanted():
            raise Unwanted
        now = time.monotonic()
        if now >= self._ends:
            raise PithError("engine_timeout", limit=f"{self._seconds:g}", setting="PITH_IMPORT_TIME_SECONDS")
        if now - self._marked_at >= self._idle_seconds:
            if self.arrived - self._mark < LEAST_BYTES:
                raise httpx.ReadTimeout(f"it sent next to nothing for {self._idle_seconds:g} seconds")
            self.begin()

    def pause(self, seconds: float) -> None:
        """Raises as a call does."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.begin()
            self()
            time.sleep(min(0.1, left))
        self.begin()
