"""Sending a job: publish its id, then note in the outbox that it was sent."""

from pith.ids import JobId
from store.jobs import Jobs
from store.queue import Queue


def dispatch(jobs: Jobs, queue: Queue, job: JobId) -> bool:
    """Send now; False when the queue does not answer: the scheduler sends it later. Never raises for that."""
    raise NotImplementedError
