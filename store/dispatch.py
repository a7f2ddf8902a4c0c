"""Sending a job: publish its id, then note in the outbox that it was sent. Once too often does no harm."""

import logging

from pith.errors import PithError
from pith.ids import JobId
from store import metrics
from store.jobs import Jobs
from store.queue import Queue

log = logging.getLogger(__name__)


def dispatch(jobs: Jobs, queue: Queue, job: JobId, again: bool = False) -> bool:
    """Send now, unless there is nothing to send: it waits for a check, runs, or has ended.

    False when queue or database does not answer: the scheduler sends it later. Never raises for that. ``again`` is
    for the count alone: a message was sent before, and most likely lost.
    """
    try:
        if found := jobs.sendable(job):
            queue.send(job, *found)
            jobs.mark_dispatched(job)
            metrics.DISPATCHES.labels("again" if again else "first").inc()
    except PithError as error:
        log.warning("job %s stays in the outbox: %s", job, error)
        return False
    return True
