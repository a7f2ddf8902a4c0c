"""Lets a worker look for its next message as soon as a job has ended.

Without prefetch Celery does not listen while a job runs, and by itself looks again only once a second.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery, bootsteps

SOON = (0.002, 0.01, 0.03, 0.1)
"""Seconds after the end of a job, which Celery counts as ended a little later than the job itself does."""


class Nudge:
    def __init__(self, app: Celery) -> None:
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)
        nudge = self

        class Listening(bootsteps.StartStopStep):  # type: ignore[misc]
            """With every new connection, which forgets whom it listened to."""

            requires = {"celery.worker.consumer.tasks:Tasks"}  # noqa: RUF012

            def start(self, consumer: Any) -> None:
                if consumer.hub is not None:
                    consumer.hub.add_reader(nudge._out, nudge._look, consumer.hub)

        app.steps["consumer"].add(Listening)

    @contextmanager
    def after(self) -> Iterator[None]:
        """Around a job."""
        try:
            yield
        finally:
            os.write(self._in, b".")

    def _look(self, hub: Any) -> None:
        """A timer that does nothing ends the loop's sleep, after which it asks whether it may listen again."""
        os.read(self._out, 1024)
        for seconds in SOON:
            hub.call_later(seconds, _nothing)


def _nothing() -> None:
    pass
