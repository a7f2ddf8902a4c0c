import json
import threading
from base64 import b64decode
from pathlib import Path

import pytest

from pith.errors import PithError
from store.database import Database
from store.dispatch import dispatch
from store.jobs import Jobs
from store.queue import QUEUE_NAMES, TASK_NAME, Queue, celery_settings
from tests.store.redis_process import RedisProcess
from tests.store.shop import Shop

JOB = "job_" + "0" * 26
NORMAL = QUEUE_NAMES["compression"] + "\x06\x163"
"""Where kombu puts what has the priority 3."""


def test_a_message_names_the_task_and_carries_the_job_id_alone(redis: RedisProcess) -> None:
    Queue(redis.url).send(JOB)
    with redis.client() as client:
        (raw,) = client.lrange(NORMAL, 0, -1)
    message = json.loads(raw)
    assert message["headers"]["task"] == TASK_NAME
    assert json.loads(b64decode(message["body"]))[:2] == [[JOB], {}]


def test_checks_of_uploads_have_a_queue_of_their_own(redis: RedisProcess) -> None:
    queue = Queue(redis.url)
    queue.send(JOB, "intake")
    assert (queue.depth("intake"), queue.depth()) == (1, 0)
    with redis.client() as client:
        assert client.llen(NORMAL.replace(QUEUE_NAMES["compression"], QUEUE_NAMES["intake"])) == 1


def test_what_is_urgent_lies_in_a_list_that_is_looked_into_first(redis: RedisProcess) -> None:
    queue = Queue(redis.url)
    for priority in (-1, 0, 1, 7):
        queue.send(JOB, priority=priority)
    with redis.client() as client:
        held = {name.decode(): client.llen(name) for name in client.keys(f"{QUEUE_NAMES['compression']}*")}
    assert held == {QUEUE_NAMES["compression"]: 2, NORMAL: 1, NORMAL[:-1] + "6": 1}
    assert queue.depth() == 4


def test_depth_counts_what_nobody_has_taken(redis: RedisProcess) -> None:
    queue = Queue(redis.url)
    queue.ping()
    assert queue.depth() == 0
    queue.send(JOB)
    queue.send(JOB)
    assert queue.depth() == 2
    with redis.client() as client:
        client.lpop(NORMAL, 2)
    assert queue.depth() == 0


def test_a_queue_that_is_away_says_so_and_comes_back(redis: RedisProcess) -> None:
    queue = Queue(redis.url)
    queue.send(JOB)
    redis.kill()
    for use in (queue.ping, queue.depth, lambda: queue.send(JOB)):
        with pytest.raises(PithError, match="The queue does not answer"):
            use()
    redis.start()
    queue.send(JOB)
    assert queue.depth() == 1


def test_a_restart_between_two_messages_is_not_noticed(redis: RedisProcess) -> None:
    queue = Queue(redis.url)
    queue.send(JOB)
    redis.kill()
    redis.start()
    queue.send(JOB)
    assert queue.depth() == 1


def test_a_wrong_password_is_told_as_unavailable(redis: RedisProcess) -> None:
    with pytest.raises(PithError, match="unavailable"):
        Queue(redis.url.replace("secret", "guess")).ping()


def test_threads_share_a_queue(redis: RedisProcess) -> None:
    queue = Queue(redis.url)
    threads = [threading.Thread(target=lambda: [queue.send(JOB) for _ in range(10)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queue.depth() == 80


def test_a_folder_carries_messages_where_there_is_no_redis(tmp_path: Path) -> None:
    url = f"filesystem://{tmp_path}/queue"
    Queue(url).send(JOB)
    assert Queue(url).depth() == 1


def test_without_a_queue_the_way_out_is_named() -> None:
    with pytest.raises(PithError, match="PITH_REDIS_URL is not set"):
        Queue(None)


def test_messages_are_acknowledged_early_and_never_hoarded(redis: RedisProcess) -> None:
    settings = celery_settings(redis.url)
    assert (settings["task_acks_late"], settings["worker_disable_prefetch"]) == (False, True)
    assert settings["result_backend"] is None
    assert settings["accept_content"] == ["json"]


def test_dispatching_empties_the_outbox(shop: Shop, redis: RedisProcess) -> None:
    job = shop.job()
    queue = Queue(redis.url)
    assert dispatch(shop.jobs, queue, job.id)
    assert (queue.depth(), shop.jobs.due()) == (1, ())


def test_dispatching_without_a_queue_leaves_the_job_in_the_outbox(shop: Shop, redis: RedisProcess) -> None:
    job = shop.job()
    redis.kill()
    assert not dispatch(shop.jobs, Queue(redis.url), job.id)
    assert shop.jobs.due() == (job.id,)


def test_dispatching_while_the_database_is_away_never_raises(redis: RedisProcess, tmp_path: Path) -> None:
    assert not dispatch(Jobs(Database(f"sqlite:///{tmp_path}/no_tables.db")), Queue(redis.url), JOB)


def test_sending_to_a_redis_that_hangs_gives_up(redis: RedisProcess) -> None:
    queue = Queue(redis.url)
    queue.send(JOB)
    redis.stop()
    said: list[str] = []

    def ping() -> None:
        try:
            queue.ping()
        except PithError as error:
            said.append(error.code)

    waiting = threading.Thread(target=ping)
    waiting.start()
    waiting.join(25)  # Celery's own thirty seconds would hold a request of the API for as long
    assert said == ["unavailable"]
    redis.carry_on()
    waiting.join()
    queue.ping()
