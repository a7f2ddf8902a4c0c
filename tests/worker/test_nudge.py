"""The end of a job, however it ends, makes the worker's loop turn at once; how soon is measured in bench/rush.py."""

import select

import pytest
from celery import Celery

from worker.nudge import SOON, Nudge


class Loop:
    """Stands in for Celery's."""

    def __init__(self) -> None:
        self.timers: list[float] = []

    def call_later(self, seconds: float, callback: object) -> None:
        self.timers.append(seconds)


def test_the_end_of_a_job_wakes_the_loop_and_is_heard_once() -> None:
    nudge, loop = Nudge(Celery("nudged", set_as_current=False)), Loop()
    with nudge.after():
        assert not _woken(nudge)
    with pytest.raises(ValueError, match="lost"), nudge.after():
        raise ValueError("lost")
    assert _woken(nudge)
    nudge._look(loop)
    assert loop.timers == list(SOON) and not _woken(nudge)


def test_a_worker_listens_with_every_connection() -> None:
    app = Celery("nudged", set_as_current=False)
    Nudge(app)
    assert [step.__name__ for step in app.steps["consumer"]] == ["Listening"]


def _woken(nudge: Nudge) -> bool:
    return bool(select.select([nudge._out], [], [], 0)[0])
