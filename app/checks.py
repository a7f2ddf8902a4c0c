"""Waiting for checks of uploads: one loop that asks the database about all that is waited for, in a thread."""

import asyncio
import logging
from collections.abc import Callable, Collection

from pith.errors import PithError
from pith.resources import Dataset, Model
from store.resources import Resources

POLL_SECONDS = 0.25
log = logging.getLogger("pith.api")


class Checks:
    """All requests of one process that wait for the end of a check. The loop runs while there are any."""

    def __init__(self, models: Resources[Model], datasets: Resources[Dataset], stopping: Callable[[], bool]) -> None:
        self._resources = (models, datasets)
        self._stopping = stopping
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._loop: asyncio.Task[None] | None = None

    async def wait(self, id: str, seconds: float) -> None:
        """Until it is not being checked any more, at most so long; at once when there is no such thing."""
        if seconds <= 0:
            return
        over = asyncio.Event()
        self._waiting.setdefault(id, set()).add(over)
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(seconds):
                await over.wait()
        except TimeoutError:
            return
        finally:
            self._forget(id, over)

    def _forget(self, id: str, over: asyncio.Event) -> None:
        waiting = self._waiting.get(id, set())
        waiting.discard(over)
        if not waiting:
            self._waiting.pop(id, None)

    async def _run(self) -> None:
        while self._waiting:
            asked = list(self._waiting)
            checking = set() if self._stopping() else await asyncio.to_thread(self._checking, asked)
            for id in asked:
                if id not in checking:
                    for over in self._waiting.get(id, ()):
                        over.set()
            await asyncio.sleep(POLL_SECONDS)

    def _checking(self, ids: Collection[str]) -> set[str]:
        """Those that are still being checked; all of them while the database does not answer."""
        try:
            return {id for resources in self._resources for id in resources.checking(ids)}
        except PithError as error:
            log.warning("who waits for a check waits longer: %s", error)
        except Exception:
            log.exception("who waits for a check waits longer")
        return set(ids)
