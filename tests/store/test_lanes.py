"""Jobs that ask for a device wait apart from the others, and it is known who could take them."""

from datetime import datetime

import pytest
from sqlalchemy import update

from store import workers
from store.clock import now_plus
from store.queue import QUEUE_NAMES, Queue
from store.scheduler import Scheduler
from store.settings import Settings
from store.tables import JobRow, WorkerRow
from store.workers import SEEN_SECONDS, Workers
from tests.store.redis_process import RedisProcess
from tests.store.shop import Shop


def job(shop: Shop, device: str = "auto", priority: str = "normal") -> str:
    return shop.job(device=device, priority=priority).id


def test_a_job_waits_in_the_queue_of_its_device(shop: Shop, redis: RedisProcess) -> None:
    queue = Queue(redis.url)
    scheduler = Scheduler(shop.db, shop.blobs, queue, Settings())
    for device in ("auto", "gpu", "gpu", "cpu"):
        job(shop, device)
    scheduler.tick()
    assert {lane: queue.depth(lane) for lane in QUEUE_NAMES} == {"intake": 0, "gpu": 2, "cpu": 1, "compression": 1}


@pytest.mark.parametrize("device", ["auto", "cpu", "gpu"])
def test_a_lost_message_is_sent_again_although_others_wait_for_another_device(
    device: str, shop: Shop, redis: RedisProcess
) -> None:
    queue = Queue(redis.url)
    scheduler = Scheduler(shop.db, shop.blobs, queue, Settings())
    jobs = {given: job(shop, given) for given in ("auto", "cpu", "gpu")}
    scheduler.tick()
    with shop.db.session() as session:
        session.execute(update(JobRow).values(dispatched_at=now_plus(-3600)))
    lane, _ = shop.jobs.sendable(jobs[device]) or ("", 0)
    with redis.client() as client:
        assert sum(client.delete(name) for name in client.keys(f"{QUEUE_NAMES[lane]}\x06*")) == 1
    assert queue.depth(lane) == 0
    scheduler.tick()
    assert {each: queue.depth(each) for each in QUEUE_NAMES} == {"intake": 0, "gpu": 1, "cpu": 1, "compression": 1}


def before(shop: Shop, id: str) -> int | None:
    return shop.jobs.get(id).jobs_before


def test_what_goes_before_a_job_for_a_device(shop: Shop) -> None:
    for device, priority in (("gpu", "normal"), ("auto", "normal"), ("auto", "high"), ("cpu", "high"), ("gpu", "low")):
        job(shop, device, priority)
    mine = job(shop, "gpu")
    job(shop, "gpu")
    assert before(shop, mine) == 2, "the one for the same device, and the urgent one for any"


def test_what_goes_before_a_job_for_any_device(shop: Shop) -> None:
    for device, priority in (("gpu", "normal"), ("gpu", "high"), ("cpu", "normal"), ("auto", "normal"), ("cpu", "low")):
        job(shop, device, priority)
    mine = job(shop)
    job(shop, "gpu")
    assert before(shop, mine) == 1 + 1, "the earlier one, and that of the device which has fewer"
    Workers(shop.db).seen("w", "host", "gpu", ("jobs",))
    assert before(shop, mine) == 1 + 3, "nobody takes those for the CPU, and a later one for the GPU goes first"


def test_jobs_for_a_device_that_nobody_has_say_what_they_wait_for(shop: Shop) -> None:
    found = Workers(shop.db)
    mine = job(shop, "gpu")
    found.seen("checker", "host", "gpu", ("intake",))
    found.seen("w", "host", "cpu", ("intake", "jobs"))
    assert found.lacks("gpu") and not found.lacks("cpu") and not found.lacks("auto")
    assert shop.jobs.get(mine).waits_for == workers.missing("gpu")
    assert "No worker with a GPU has been seen" in workers.missing("gpu")
    assert shop.jobs.get(job(shop, "cpu")).waits_for is None
    found.seen("g", "host", "gpu", ("own",))
    assert shop.jobs.get(mine).waits_for is None


def test_workers_are_there_until_they_leave_or_are_silent(shop: Shop) -> None:
    found = Workers(shop.db)
    found.seen("b", "host", "gpu", ("jobs",))
    (first,) = found.list()
    found.seen("b", "host", "gpu", ("jobs", "intake"))
    found.seen("a\x1b[31m", "host\n", "cpu", ("intake",))
    one, two = found.list()
    assert (one.name, one.host) == ("a [31m", "host ")
    assert (two.device, two.queues) == ("gpu", ("jobs", "intake"))
    assert two.started_at == first.started_at and isinstance(two.seen_at, datetime) and two.seen_at >= first.seen_at
    found.left("b")
    assert [worker.name for worker in found.list()] == ["a [31m"]
    with shop.db.session() as session:
        session.execute(update(WorkerRow).values(seen_at=now_plus(-SEEN_SECONDS - 1)))
    assert found.list() == ()
