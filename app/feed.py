"""Live events: one loop that reads new events of the watched jobs from the database, for all connections.

The loop runs while somebody watches; it asks in a thread, so a slow database delays events and nothing else.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from pith.errors import PithError
from pith.ids import KeyId
from pith.job import FINAL, Event, Job
from store.access import Keys
from store.jobs import Jobs

PAGE = 500
POLL_SECONDS = 0.25
KEYS_SECONDS = 2.0
log = logging.getLogger("pith.api")


class Watcher:
    """One connection's place in one job's history, and the key that opened it."""

    def __init__(self, job: str, after: int, key: KeyId | None) -> None:
        self.job = job
        self.after = after
        self.key = key
        self.closed = False
        self._ready: deque[Event] = deque()
        self._wake = asyncio.Event()

    @property
    def full(self) -> bool:
        """Its reader is slow: nothing more is read for it until it has taken what there is."""
        return len(self._ready) >= PAGE

    def offer(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.seq > self.after:
                self._ready.append(event)
                self.after = event.seq
                self.closed = self.closed or event.type in FINAL
        self._wake.set()

    def close(self) -> None:
        self.closed = True
        self._wake.set()

    async def take(self, timeout: float) -> list[Event]:
        """What has come; empty after ``timeout`` seconds of silence, or when it is closed and nothing is left."""
        if not self._ready and not self.closed:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), timeout)
            except TimeoutError:
                return []
        taken = list(self._ready)
        self._ready.clear()
        return taken


class Feed:
    """All watchers of one process."""

    def __init__(self, jobs: Jobs, keys: Keys, stopping: Callable[[], bool]) -> None:
        self._jobs = jobs
        self._keys = keys
        self._stopping = stopping
        self._keys_asked = float("-inf")
        self._watchers: set[Watcher] = set()
        self._loop: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watch(self, job: str, after: int, key: KeyId | None = None) -> AsyncIterator[Watcher]:
        watcher = Watcher(job, after, key)
        self._watchers.add(watcher)
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._run())
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    async def ended(self, jobs: Jobs, id: str, seconds: float) -> Job:
        """A job of these, once it has ended, or after so many seconds. Raises PithError ``not_found``."""
        job = await asyncio.to_thread(jobs.get, id)
        deadline = time.monotonic() + seconds
        if job.status in FINAL or seconds <= 0:
            return job
        async with self.watch(id, 0) as watcher:
            while not watcher.closed and (left := deadline - time.monotonic()) > 0:
                await watcher.take(left)
        return await asyncio.to_thread(jobs.get, id)

    async def _run(self) -> None:
        while self._watchers:
            if self._stopping():
                self._close_all()
                return
            try:
                await self._close_revoked()
                more = await self._poll()
            except PithError as error:
                log.warning("live events wait: %s", error)
                more = False
            except Exception:
                log.exception("live events wait")
                more = False
            if not more:
                await asyncio.sleep(POLL_SECONDS)

    async def _close_revoked(self) -> None:
        """A stream ends soon after its key does."""
        held = {watcher.key for watcher in self._watchers if watcher.key is not None}
        if not held or time.monotonic() < self._keys_asked + KEYS_SECONDS:
            return
        self._keys_asked = time.monotonic()
        still = await asyncio.to_thread(self._keys.that_open, held)
        for watcher in self._watchers:
            if watcher.key in held - still:
                watcher.close()

    async def _poll(self) -> bool:
        """Hand out what is new; True when a job had more than a page of it."""
        hungry: dict[str, list[Watcher]] = {}
        for watcher in self._watchers:
            if not watcher.closed and not watcher.full:
                hungry.setdefault(watcher.job, []).append(watcher)
        places = {job: min(watcher.after for watcher in watchers) for job, watchers in hungry.items()}
        fresh = await asyncio.to_thread(self._jobs.news, places, PAGE)
        for job, events in fresh.items():
            for watcher in hungry[job]:
                watcher.offer(events)
        return any(len(events) == PAGE for events in fresh.values())

    def _close_all(self) -> None:
        for watcher in self._watchers:
            watcher.close()
