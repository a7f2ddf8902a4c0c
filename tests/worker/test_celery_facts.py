"""What becomes of a job at each event at which Celery on Redis is known to lose, repeat or hoard one, with the
settings of ``store/queue.py``, a real Redis and real worker processes.

Each event, what Celery does by itself, and the test that says what happens here; those without a module are below.

A. A job's process is killed: never run again. ``test_checkpoints``:
   ``test_sigterm_to_a_real_worker_and_kill_9_of_a_real_process``.
B. The same, acknowledged late: never run again. ``test_what_a_worker_has_taken_is_no_longer_in_redis``, and A.
C. The same, rejected when lost: for ever. ``test_a_job_that_kills_its_process_is_started_as_often_as_allowed``.
D. A worker is killed: the job is lost. ``test_worker_process``:
   ``test_a_worker_that_is_killed_takes_its_child_along_and_another_takes_over``.
E. The same, acknowledged late: run again after the visibility timeout. As D: after the lease.
F. A job is longer than the visibility timeout: bred without end.
   ``test_a_job_that_is_longer_than_the_visibility_timeout_is_started_once``.
G. SIGTERM: it waits for the job. ``test_worker_process``:
   ``test_sigterm_gives_the_job_back_and_another_worker_ends_it``.
H. Soft shutdown, acknowledged late: killed without a word. As A, whose first half saves a checkpoint.
I. Soft shutdown, acknowledged early: lost. ``test_a_worker_that_is_told_to_leave_costs_no_attempt``.
J1. A message behind a long job: hoarded. ``test_no_message_waits_behind_a_job_while_another_worker_is_idle``.
J2. Without prefetch the backlog is in the list: ``test_what_a_worker_has_taken_is_no_longer_in_redis``.
K, K'. Redis restarts while one job runs and one waits: the worker crashes.
   ``test_a_worker_outlives_redis_that_restarts_three_times``.
K''. Cancelled on connection loss: a healthy job is killed. ``test_worker_process``:
   ``test_redis_dies_with_its_data_in_mid_job``, which also submits a job meanwhile.
L. Revoked: forgotten with the worker. ``test_a_cancel_outlives_every_worker``; of a job that runs:
   ``test_worker_process.test_duplicate_messages_run_once_and_cancel_stops``, which also sends five messages of one job.

And of the faults that a service meets besides:

- Redis loses a queued message: ``tests/store/test_scheduler``:
  ``test_a_message_that_the_queue_lost_is_sent_again_but_not_while_others_wait``.
- A worker is frozen for longer than its lease: ``test_a_worker_that_wakes_after_its_lease_writes_nothing``.
- The database is away in mid-job, and the reader must not die of it: ``test_supervise``:
  ``test_a_database_that_is_away_in_mid_job_loses_nothing``; PostgreSQL: ``tests/chaos``.
- The caller's own error: ``test_supervise.test_a_problem_of_the_engine_is_the_jobs_error``.
"""

import os
import signal
from pathlib import Path

import pytest

from store.queue import Queue
from store.settings import Settings
from tests.processes import descendants
from tests.store.redis_process import RedisProcess
from tests.waiting import eventually
from tests.worker.conftest import Do
from tests.worker.impatient import VISIBILITY_SECONDS
from tests.worker.processes import WAIT_FOR_GO, Service, until, until_said

DIES = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
UNACKED = ("unacked", "unacked_index")


def test_what_a_worker_has_taken_is_no_longer_in_redis(service: Service, submit: Do, redis: RedisProcess) -> None:
    service.worker()
    running = submit(WAIT_FOR_GO)
    service.send(running.id)
    until_said(service, running, "asleep")
    for _ in range(2):
        service.send(submit("succeed()").id)
    with redis.client() as client:
        eventually(lambda: not client.exists(*UNACKED))
    assert Queue(redis.url).depth() == 2


def test_a_job_that_kills_its_process_is_started_as_often_as_allowed(service: Service, submit: Do) -> None:
    service.set("PITH_MAX_ATTEMPTS", "2")
    service.set("PITH_RETRY_SECONDS", "0.1")
    service.scheduler()
    service.worker()
    ended = until(service, submit(DIES), "failed")
    assert ended.attempt == 2 and ended.error is not None and ended.error.code == "engine_died"


def test_a_job_that_is_longer_than_the_visibility_timeout_is_started_once(
    service: Service, submit: Do, settings: Settings
) -> None:
    for _ in range(2):
        service.start("tests.worker.impatient")
    job = submit(f"import time\nevents.emit('warning', 'began')\ntime.sleep({3 * VISIBILITY_SECONDS})\nsucceed()")
    service.send(job.id)
    assert until(service, job, "succeeded").attempt == 1
    assert [event.message for event in service.jobs.events(job.id)].count("began") == 1


def test_a_worker_that_is_told_to_leave_costs_no_attempt(service: Service, submit: Do, settings: Settings) -> None:
    service.set("PITH_MAX_ATTEMPTS", "1")
    worker = service.worker()
    job = submit(WAIT_FOR_GO)
    service.send(job.id)
    until_said(service, job, "asleep")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    service.worker()
    service.send(job.id)
    until(service, job, "running")
    _go(settings, job.id, 2)
    assert until(service, job, "succeeded").attempt == 2


def test_no_message_waits_behind_a_job_while_another_worker_is_idle(service: Service, submit: Do) -> None:
    service.worker()
    long = submit(WAIT_FOR_GO)
    service.send(long.id)
    until_said(service, long, "asleep")
    service.worker()
    for _ in range(3):
        short = submit("succeed()")
        service.send(short.id)
        until(service, short, "succeeded")
    assert service.jobs.get(long.id).status == "running"


def test_a_worker_outlives_redis_that_restarts_three_times(
    service: Service, submit: Do, redis: RedisProcess, settings: Settings
) -> None:
    worker = service.worker()
    running, waiting = submit(WAIT_FOR_GO), submit("succeed()")
    service.send(running.id)
    until_said(service, running, "asleep")
    service.send(waiting.id)
    redis.kill()
    redis.start()
    _go(settings, running.id, 1)
    service.send(waiting.id)
    assert [until(service, job, "succeeded").attempt for job in (running, waiting)] == [1, 1]
    for _ in range(2):
        redis.kill()
        redis.start()
        job = submit("succeed()")
        service.send(job.id)
        assert until(service, job, "succeeded").attempt == 1
    assert worker.poll() is None


def test_a_cancel_outlives_every_worker(service: Service, submit: Do) -> None:
    job, after = submit("succeed()"), submit("succeed()")
    service.send(job.id)
    service.jobs.cancel(job.id)
    service.send(after.id)
    service.worker()
    until(service, after, "succeeded")
    ended = service.jobs.get(job.id)
    assert (ended.status, ended.attempt) == ("cancelled", 0)


@pytest.mark.chaos
def test_a_worker_that_wakes_after_its_lease_writes_nothing(service: Service, submit: Do, settings: Settings) -> None:
    service.set("PITH_RETRY_SECONDS", "0.1")
    frozen = service.worker()
    job = submit(WAIT_FOR_GO)
    service.send(job.id)
    until_said(service, job, "asleep")
    family = [frozen.pid, *descendants(frozen.pid)]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    service.scheduler()
    service.worker()
    eventually(lambda: service.jobs.get(job.id).attempt == 2)
    for pid in family:
        os.kill(pid, signal.SIGCONT)
    _go(settings, job.id, 1)
    eventually(lambda: not _work(settings, job.id, 1).exists())  # the first has noticed, and left
    assert service.jobs.get(job.id).status == "running"
    _go(settings, job.id, 2)
    assert until(service, job, "succeeded").attempt == 2
    ends = [event.type for event in service.jobs.events(job.id) if event.type == "succeeded"]
    assert len(ends) == 1 and frozen.poll() is None


def _go(settings: Settings, job: str, attempt: int) -> None:
    """Let a waiting job end; it may have been cleared away meanwhile."""
    folder = _work(settings, job, attempt)
    if attempt > 1:
        eventually(folder.exists)
    if folder.exists():
        (folder / "go").touch()


def _work(settings: Settings, job: str, attempt: int) -> Path:
    return settings.data_dir / "work" / job / str(attempt)
