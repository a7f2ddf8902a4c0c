"""The queue: carries job ids to workers, and may lose or repeat them; the database makes up for it."""

from typing import Any

from pith.ids import JobId

TASK_NAME = "pith.run_job"
QUEUE_NAME = "pith"


def celery_settings(redis_url: str | None) -> dict[str, Any]:
    """Celery's settings, the same for who sends and who works. Raises PithError when there is no URL."""
    raise NotImplementedError


class Queue:
    def __init__(self, redis_url: str | None) -> None: ...
    def send(self, job: JobId) -> None:
        """Raises PithError ``unavailable`` within about two seconds."""

    def depth(self) -> int:
        """Messages that no worker has taken. Raises PithError ``unavailable``."""
        raise NotImplementedError

    def ping(self) -> None:
        """Raises PithError ``unavailable``."""
