"""Whether requests can be served: each part that is needed, asked with a time limit of our own.

A database that hangs must not hang the answer, nor use up the threads that answer requests: every question has a thread
of its own, and is not put again while its last one waits.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Literal, NamedTuple

from pydantic import Field

from pith import __version__
from pith.base import Frozen
from pith.errors import PithError
from store.blobs import Blobs
from store.database import Database
from store.migrate import Standing
from store.queue import Queue
from store.room import free_bytes
from store.settings import Settings

State = Literal["ok", "degraded", "failed"]
PATIENCE_SECONDS = 3.0


class Part(Frozen):
    """One thing that is needed."""

    state: State
    reason: str | None = Field(None, description="What is wrong, or not as it should be.")


class Health(Frozen):
    """Whether requests can be served. Degraded: yes, but jobs wait, or something will soon be wrong."""

    status: State
    version: str = __version__
    checks: dict[str, Part] = Field(description="Each thing that is needed: database, storage, disk, queue.")


class Wrong(NamedTuple):
    state: State
    reason: str


Ask = Callable[[], Wrong | None]


class Probe:
    """One question, and its answer where there is one in time. ``worst`` is what it means when there is none."""

    def __init__(self, ask: Ask, worst: State, patience: float = PATIENCE_SECONDS) -> None:
        self._ask, self._worst, self._patience = ask, worst, patience
        self._asked: Future[Part] | None = None

    async def part(self) -> Part:
        if self._asked is None or self._asked.done():
            self._asked = Future()
            threading.Thread(target=self._answer, args=(self._asked,), name="health", daemon=True).start()
        answer = asyncio.wrap_future(self._asked)
        done, _ = await asyncio.wait({answer}, timeout=self._patience)
        return answer.result() if done else Part(state=self._worst, reason=f"No answer within {self._patience:g} s.")

    def _answer(self, asked: "Future[Part]") -> None:
        asked.set_result(self._found())

    def _found(self) -> Part:
        try:
            wrong = self._ask()
        except PithError as error:
            return Part(state=self._worst, reason=error.problem.detail)
        except Exception as error:  # whatever it is, it is not well
            return Part(state=self._worst, reason=f"It failed with {type(error).__name__}.")
        return Part(state="ok") if wrong is None else Part(state=wrong.state, reason=wrong.reason)


def probes(settings: Settings, db: Database, blobs: Blobs, queue: Queue | None) -> Mapping[str, Probe]:
    """A queue that is away fails nothing: jobs are taken, and sent once it is back. Nor does a disk that fills: what is
    there can be read."""
    return {
        "database": Probe(lambda: _database(db), "failed"),
        "storage": Probe(lambda: blobs.check_writable(), "failed"),
        "disk": Probe(lambda: _disk(settings), "degraded"),
        "queue": Probe(lambda: _queue(queue), "degraded"),
    }


async def health(asked: Mapping[str, Probe]) -> Health:
    parts = await asyncio.gather(*(probe.part() for probe in asked.values()))
    states = {part.state for part in parts}
    status: State = "failed" if "failed" in states else "degraded" if "degraded" in states else "ok"
    return Health(status=status, checks=dict(zip(asked, parts, strict=True)))


def _database(db: Database) -> Wrong | None:
    match db.standing():
        case Standing("current"):
            return None
        case Standing("newer", found, known):
            reason = f"The tables are of revision {found}, newer than {known} of this version: update this process."
            return Wrong("degraded", reason)
        case Standing(_, found, known):
            reason = f"The tables are of revision {found}, and this version needs {known}: restart this process."
            return Wrong("failed", reason)


def _disk(settings: Settings) -> Wrong | None:
    short = {place: free for place, free in free_bytes(settings).items() if free < settings.min_free_bytes}
    if not short:
        return None
    told = ", ".join(f"{free} bytes for {place}" for place, free in short.items())
    return Wrong("degraded", f"There is room for {told}, less than PITH_MIN_FREE_BYTES, {settings.min_free_bytes}.")


def _queue(queue: Queue | None) -> Wrong | None:
    if queue is None:
        return Wrong("degraded", "PITH_REDIS_URL is not set.")
    queue.ping()
    return None
