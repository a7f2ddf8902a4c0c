"""The worker as it runs in earnest: Celery, Redis and the scheduler are real processes, and are killed."""

import signal
import time

from store.settings import Settings
from tests.processes import descendants, is_gone
from tests.store.redis_process import RedisProcess
from tests.waiting import eventually
from tests.worker.conftest import Do
from tests.worker.processes import WAIT_FOR_GO, Service, until, until_said

ONCE_LOST = """
if folder.root.name == "1":
    events.emit("warning", "asleep")
    import time
    while True: time.sleep(0.05)
succeed()
"""


def test_duplicate_messages_run_once_and_cancel_stops(service: Service, submit: Do) -> None:
    service.worker()
    job = submit("events.emit('warning', 'ran')\nsucceed()")
    for _ in range(4):
        service.send(job.id)
    assert until(service, job, "succeeded").attempt == 1
    assert [event.message for event in service.jobs.events(job.id)].count("ran") == 1
    other = submit(WAIT_FOR_GO)
    service.send(other.id)
    until_said(service, other, "asleep")
    service.jobs.cancel(other.id)
    asked = time.monotonic()
    until(service, other, "cancelled")
    assert time.monotonic() - asked < 10  # seldom above one second, but the machine may be busy


def test_sigterm_gives_the_job_back_and_another_worker_ends_it(service: Service, submit: Do) -> None:
    worker = service.worker()
    job = submit(ONCE_LOST)
    service.send(job.id)
    until_said(service, job, "asleep")
    below = descendants(worker.pid)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert service.jobs.get(job.id).status == "queued"
    eventually(lambda: all(map(is_gone, below)))
    service.scheduler()
    service.worker()
    assert until(service, job, "succeeded").attempt == 2


def test_a_worker_that_is_killed_takes_its_child_along_and_another_takes_over(service: Service, submit: Do) -> None:
    worker = service.worker()
    service.scheduler()
    job = submit(ONCE_LOST)
    until_said(service, job, "asleep")
    below = descendants(worker.pid)
    assert len(below) == 4  # fork server, guard, init, job
    worker.kill()
    eventually(lambda: all(map(is_gone, below)))
    service.worker()
    assert until(service, job, "succeeded").attempt == 2
    assert "requeued" in [event.type for event in service.jobs.events(job.id)]


def test_a_job_that_loses_every_worker_fails(service: Service, submit: Do) -> None:
    worker = service.worker()
    job = submit(WAIT_FOR_GO)
    service.send(job.id)
    until_said(service, job, "asleep")
    worker.kill()
    service.set("PITH_MAX_ATTEMPTS", "1")
    service.scheduler()
    ended = until(service, job, "failed")
    assert ended.error is not None
    assert ended.error.code == "worker_lost"


def test_redis_dies_with_its_data_in_mid_job(
    service: Service, submit: Do, redis: RedisProcess, settings: Settings
) -> None:
    worker = service.worker()
    service.scheduler()
    job = submit(WAIT_FOR_GO)
    until_said(service, job, "asleep")
    redis.kill()
    (settings.data_dir / "work" / job.id / "1" / "go").touch()
    assert until(service, job, "succeeded").attempt == 1
    eventually(lambda: "Trying again in" in service.log.read_text())
    submitted_meanwhile = submit("succeed()")
    redis.start()
    assert until(service, submitted_meanwhile, "succeeded").attempt == 1
    assert worker.poll() is None
