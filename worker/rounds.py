"""Whether the worker's main loop, which waits for messages, goes round: it is asked to say so, by its own timer.

While the queue is away nothing is expected of it. Where the queue is a folder the timer has a thread of its own, and
says less: the loop there blocks for two seconds at a time and can hang in no more than a read of a folder.
"""

from collections.abc import Callable
from typing import Any

from celery import bootsteps

from store.port import Life

ROUND_SECONDS = 5.0
SILENCE_SECONDS = 120.0


def rounds(life: Callable[[], Life]) -> type:
    """A step of Celery's consumer: begun when there is a connection, stopped when it is lost."""

    class Rounds(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = ("celery.worker.consumer.connection:Connection",)

        def start(self, consumer: Any) -> None:
            self._say()
            self._entry = consumer.timer.call_repeatedly(ROUND_SECONDS, self._say)

        def stop(self, consumer: Any) -> None:
            if entry := getattr(self, "_entry", None):
                entry.cancel()
            life().rest("messages")

        def _say(self) -> None:
            life().beat("messages", SILENCE_SECONDS)

    return Rounds
