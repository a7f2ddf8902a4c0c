import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text, update

from pith.job import FINAL
from store.clock import now_plus
from store.database import Database
from store.queue import QUEUE_NAMES, Queue
from store.scheduler import LOST_MESSAGE_SECONDS, Scheduler
from store.settings import Settings
from store.tables import JobRow
from tests.store.conftest import ROOT
from tests.store.redis_process import RedisProcess
from tests.store.shop import Shop, digest


@dataclass
class Clock:
    time: float = 1000.0

    def __call__(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(redis: RedisProcess) -> Queue:
    return Queue(redis.url)


@pytest.fixture
def scheduler(shop: Shop, queue: Queue, clock: Clock) -> Scheduler:
    return Scheduler(shop.db, shop.blobs, queue, Settings(), clock)


def sent_long_ago(shop: Shop, job: str) -> None:
    with shop.db.session() as session:
        ago = now_plus(-LOST_MESSAGE_SECONDS - 1)
        session.execute(update(JobRow).where(JobRow.id == job).values(dispatched_at=ago))


def lost(shop: Shop) -> str:
    job = shop.job()
    shop.jobs.claim(job.id, "w", -1)
    return job.id


def test_a_tick_sends_what_is_due_once(shop: Shop, scheduler: Scheduler, queue: Queue) -> None:
    shop.job()
    shop.job()
    scheduler.tick()
    scheduler.tick()
    assert (queue.depth(), shop.jobs.due()) == (2, ())


def test_jobs_submitted_while_the_queue_is_away_are_sent_when_it_is_back(
    shop: Shop, scheduler: Scheduler, queue: Queue, redis: RedisProcess
) -> None:
    redis.kill()
    shop.job()
    scheduler.tick()
    assert len(shop.jobs.due()) == 1
    redis.start()
    scheduler.tick()
    assert (queue.depth(), shop.jobs.due()) == (1, ())


def test_a_message_that_the_queue_lost_is_sent_again_but_not_while_others_wait(
    shop: Shop, scheduler: Scheduler, queue: Queue, redis: RedisProcess
) -> None:
    job = shop.job()
    scheduler.tick()
    sent_long_ago(shop, job.id)
    scheduler.tick()
    assert queue.depth() == 1, "it is waiting, not lost"
    redis.kill()
    redis.start()
    scheduler.tick()
    scheduler.tick()
    assert queue.depth() == 1
    with redis.client() as client:
        client.flushall()
    scheduler.tick()
    assert queue.depth() == 0, "it was sent a moment ago"


def test_a_check_is_sent_to_its_own_queue_and_the_job_that_waits_for_it_when_it_is_over(
    shop: Shop, scheduler: Scheduler, queue: Queue
) -> None:
    model = shop.unchecked_model()
    shop.jobs.submit(shop.spec(model=model.id))
    scheduler.tick()
    assert (queue.depth("intake"), queue.depth()) == (1, 0)
    shop.learn(model.check, b"m")
    scheduler.tick()
    assert (queue.depth("intake"), queue.depth()) == (1, 1)


def test_a_check_whose_message_was_lost_is_sent_again_although_jobs_wait(
    shop: Shop, scheduler: Scheduler, queue: Queue, redis: RedisProcess
) -> None:
    shop.job()
    check = shop.unchecked_model(b"other").check
    scheduler.tick()
    sent_long_ago(shop, check)
    with redis.client() as client:
        client.delete(QUEUE_NAMES["intake"])
    scheduler.tick()
    assert (queue.depth("intake"), queue.depth()) == (1, 1)


def test_nothing_is_reaped_for_one_lease_after_the_start(shop: Shop, scheduler: Scheduler, clock: Clock) -> None:
    job = lost(shop)
    clock.advance(59)
    scheduler.tick()
    assert shop.jobs.get(job).status == "running"
    clock.advance(2)
    scheduler.tick()
    assert shop.jobs.get(job).status == "queued"


def test_after_that_it_reaps_at_its_interval_and_sends_again(
    shop: Shop, scheduler: Scheduler, clock: Clock, queue: Queue
) -> None:
    for _ in range(2):
        clock.advance(31)
        scheduler.tick()
    job = lost(shop)
    clock.advance(9)
    scheduler.tick()
    assert shop.jobs.get(job).status == "running"
    clock.advance(2)
    scheduler.tick()
    assert shop.jobs.get(job).status == "queued"
    scheduler.tick()
    assert queue.depth() == 1


def test_after_the_database_was_away_workers_get_one_lease_to_beat_first(
    queue: Queue, clock: Clock, tmp_path: Path, sqlite_template: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "pith.db"
    shop = Shop.open(Database(f"sqlite:///{path}"), tmp_path / "blobs")
    scheduler = Scheduler(shop.db, shop.blobs, queue, Settings(), clock)
    clock.advance(50)
    scheduler.tick()
    scheduler.tick()
    assert caplog.text.count("the database does not answer") == 1
    shop.db.close()
    for file in tmp_path.glob("pith.db*"):
        file.unlink()
    path.write_bytes(sqlite_template.read_bytes())
    job = lost(shop)
    clock.advance(59)
    scheduler.tick()
    assert shop.jobs.get(job).status == "running"
    clock.advance(2)
    scheduler.tick()
    assert shop.jobs.get(job).status == "queued"
    shop.db.close()


def test_after_the_machine_slept_workers_get_one_lease_to_beat_first(
    shop: Shop, scheduler: Scheduler, clock: Clock
) -> None:
    for _ in range(2):
        clock.advance(31)
        scheduler.tick()
    job = lost(shop)
    clock.advance(3600)
    scheduler.tick()
    assert shop.jobs.get(job).status == "running"
    for _ in range(2):
        clock.advance(31)
        scheduler.tick()
    assert shop.jobs.get(job).status == "queued"


def test_blobs_that_nobody_named_are_swept_hourly(shop: Shop, scheduler: Scheduler, clock: Clock) -> None:
    scheduler.tick()
    shop.blob(b"orphan")
    two_days_ago = time.time() - 2 * 86400
    for file in (shop.blobs.path(digest(b"orphan")), *shop.blobs.root.glob("pins/*")):
        os.utime(file, (two_days_ago, two_days_ago))
    clock.advance(59)
    scheduler.tick()
    assert shop.blobs.size(digest(b"orphan")) == 6
    clock.advance(3600)
    scheduler.tick()
    assert list(shop.blobs.root.glob("sha256/*/*")) == []


@pytest.fixture
def process(redis: RedisProcess, database_url: str, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    settings = {
        "PITH_DATA_DIR": tmp_path,
        "PITH_DATABASE_URL": database_url,
        "PITH_REDIS_URL": redis.url,
        "PITH_LEASE_SECONDS": 0.4,
        "PITH_HEARTBEAT_SECONDS": 0.1,
        "PITH_REAP_SECONDS": 0.1,
        "PITH_DISPATCH_SECONDS": 0.05,
    }
    environment = os.environ | {name: str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "store.scheduler"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stderr=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def eventually(condition: object, what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_the_process_sends_reaps_outlives_redis_and_ends_when_told(
    shop: Shop, process: "subprocess.Popen[str]", queue: Queue, redis: RedisProcess
) -> None:
    shop.job()
    eventually(lambda: queue.depth() == 1, "the job was not sent")
    redis.kill()
    job = lost(shop)
    eventually(lambda: shop.jobs.get(job).status == "queued", "the lost job was not reaped")
    redis.start()
    eventually(lambda: queue.depth() == 1, "the job was not sent after the restart")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_the_process_does_not_reap_a_job_whose_lease_lives(shop: Shop, process: "subprocess.Popen[str]") -> None:
    alive, dead = shop.job().id, lost(shop)
    shop.jobs.claim(alive, "w", 600)
    eventually(lambda: shop.jobs.get(dead).status == "queued", "the lost job was not reaped")
    assert shop.jobs.get(alive).status == "running"


def test_it_refuses_to_start_without_a_queue_in_one_sentence(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PITH_")}
    command = [sys.executable, "-m", "store.scheduler"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment | {"PITH_DATA_DIR": str(tmp_path)}, text=True, capture_output=True
    )
    assert done.returncode == 2
    assert "PITH_REDIS_URL is not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_final_statuses_are_never_reaped(shop: Shop) -> None:
    jobs = {shop.job().id: status for status in sorted(FINAL)}
    with shop.db.session() as session:
        for job, status in jobs.items():
            statement = text("UPDATE jobs SET status = :status, lease_expires_at = 0 WHERE id = :id")
            session.execute(statement, {"status": status, "id": job})
    assert shop.jobs.reap() == ()


def test_a_running_job_without_any_lease_is_reaped_too(shop: Shop) -> None:
    job = shop.job()
    shop.jobs.claim(job.id, "w", 60)
    with shop.db.session() as session:
        session.execute(update(JobRow).values(lease_expires_at=None))
    assert shop.jobs.reap() == (job.id,)
