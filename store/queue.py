"""The queues: carry job ids to workers, and may lose or repeat them; the database makes up for it.

Intake has a queue of its own, so that no check waits behind a long job; ``store.lanes`` tells the others.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from celery import Celery
from kombu.exceptions import ChannelError, KombuError
from redis.exceptions import RedisError

from pith.errors import PithError
from pith.ids import JobId
from store.lanes import Lane

TASK_NAME = "pith.run_job"
QUEUE_NAMES: Mapping[Lane, str] = {
    "intake": "pith.intake",
    "gpu": "pith.gpu",
    "cpu": "pith.cpu",
    "compression": "pith",
}
"""In the order in which a worker that takes several looks into them, for each priority."""
_ANSWER_SECONDS = 2
# kombu's priorities on Redis: 0 is taken first, and each of 0, 3, 6 and 9 is a list of its own.
_MIDDLE, _STEP = 3, 3


def celery_settings(redis_url: str | None) -> dict[str, Any]:
    """Celery's settings, the same for who sends and who works.

    A message is acknowledged when it is taken up and no result is kept: the database knows what became of a job.
    Prefetch is off so that no message waits behind a running job while another worker is idle.

    Raises:
        PithError: ``queue_missing``.
    """
    if redis_url is None:
        raise PithError("queue_missing")
    return {
        "broker_url": "filesystem://" if _is_folder(redis_url) else redis_url,
        "broker_transport_options": _folder_options(redis_url) if _is_folder(redis_url) else _redis_options(),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "result_backend": None,
        "task_ignore_result": True,
        "task_acks_late": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_default_queue": QUEUE_NAMES["compression"],
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": not _is_folder(redis_url),
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }


class Queue:
    """One per process, shared by its threads. Connects on first use."""

    def __init__(self, redis_url: str | None) -> None:
        self._celery = Celery("pith", set_as_current=False)
        settings = celery_settings(redis_url)
        # A worker waits long for its next message; whoever sends must not wait long for a Redis that hangs.
        settings["broker_transport_options"]["socket_timeout"] = _ANSWER_SECONDS
        self._celery.conf.update(settings)

    def send(self, job: JobId, lane: Lane = "compression", priority: int = 0) -> None:
        """A queue that is a folder has no priorities. Raises PithError ``unavailable``, and soon: the outbox tries
        again."""
        with _told_plainly():
            self._celery.send_task(
                TASK_NAME,
                args=[job],
                queue=QUEUE_NAMES[lane],
                priority=_MIDDLE - _STEP * max(-1, min(priority, 1)),
                ignore_result=True,
                retry=True,  # once, because the pool's connection may be of a Redis that has been restarted
                retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0},
            )

    def depth(self, lane: Lane = "compression") -> int:
        """Messages of one lane that no worker has taken. Raises PithError ``unavailable``."""
        with _told_plainly(), self._celery.pool.acquire(block=True, timeout=_ANSWER_SECONDS) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            with connection.channel() as channel:
                return _depth(channel, QUEUE_NAMES[lane])

    def ping(self) -> None:
        """Raises PithError ``unavailable``."""
        self.depth()


def _depth(channel: Any, name: str) -> int:
    try:
        return int(channel.queue_declare(name, passive=True).message_count)
    except ChannelError:  # nothing was ever sent, or the last message has been taken
        return 0


@contextmanager
def _told_plainly() -> Iterator[None]:
    try:
        yield
    except (KombuError, RedisError, OSError) as error:
        raise PithError("unavailable", what="The queue") from error


def _is_folder(url: str) -> bool:
    return url.startswith("filesystem://")


def _redis_options() -> dict[str, Any]:
    return {
        "visibility_timeout": 3600,
        "socket_timeout": 30,
        "socket_connect_timeout": _ANSWER_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "queue_order_strategy": "priority",  # a worker that takes several looks for checks first
    }


def _folder_options(url: str) -> dict[str, Any]:
    folder = Path(unquote(urlsplit(url).path))
    messages, control = folder / "messages", folder / "control"
    for needed in (messages, control):
        needed.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(control),
        "polling_interval": 0.2,
    }
