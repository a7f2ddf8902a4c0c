"""A job goes on where another worker's checkpoint has left it, and one that is told to stop saves one first."""

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from pith.errors import PithError
from pith.job import Job
from store import checkpoints
from store.jobs import Jobs
from tests.store.shop import Shop
from tests.waiting import eventually
from tests.worker.conftest import Do
from tests.worker.processes import Service, until, until_said
from tests.worker.test_supervise import Running, code_of
from worker import keeper, oom, supervise
from worker.workplace import Workplace

Again = Callable[[Job], Job]

DIE = "import os, time; time.sleep(0.8); os.kill(os.getpid(), 9)"
"""Not before a checkpoint had the time to be kept."""
GOES_ON = """
held = sorted(path.name for path in folder.checkpoint.iterdir()) if folder.checkpoint.exists() else []
if held:
    events.emit("warning", f"goes on from {held}: {(folder.checkpoint / held[0]).read_text()}")
    succeed()
"""
STOPS = f"""{GOES_ON}
else:
    events.emit("warning", "asleep")
    import time
    while not folder.stop.exists(): time.sleep(0.02)
    checkpoint(7, b"weights")
    code = 75
"""
NAMES = '(folder.checkpoint / \'position.json\').write_text(\'{{"number": 0, "graph": "{}"}}\')'
HELD = "goes on from ['graph-7.pt2', 'position.json']: weights"


@pytest.fixture
def patient(place: Workplace, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """Two lost processes are one too many; the next attempt may follow at once."""
    monkeypatch.setattr(keeper, "LOOK_SECONDS", 0.05)
    shop.jobs = Jobs(shop.db, max_attempts=2, retry_seconds=0)
    options = place.options.model_copy(update={"drain_seconds": 10.0})
    return replace(place, jobs=shop.jobs, options=options, stopping=threading.Event())


@pytest.fixture
def again(patient: Workplace) -> Again:
    """One more attempt at the job."""

    def attempted(job: Job) -> Job:
        supervise.run(patient, job.id)
        return patient.jobs.get(job.id)

    return attempted


def warnings(jobs: Jobs, job: Job) -> list[str]:
    return [event.message for event in jobs.events(job.id) if event.type == "warning"]


def kept(shop: Shop, job: Job) -> set[str]:
    with shop.db.reader() as session:
        return set(checkpoints.of_job(session, job.id))


def blob_count(shop: Shop) -> int:
    return len(list(shop.blobs.older_than(-10)))


def test_the_next_attempt_finds_the_last_checkpoint_and_then_it_goes(submit: Do, again: Again, shop: Shop) -> None:
    job = submit(f"""{GOES_ON}
else:
    events.progress(0.5, 'half')
    checkpoint(6, b'old')
    import time; time.sleep(0.8)
    checkpoint(7, b'weights')
    {DIE}""")
    blobs = blob_count(shop)
    lost = again(job)
    assert (lost.status, lost.attempt, lost.progress.fraction) == ("queued", 1, 0.5)
    assert lost.checkpoint_at is not None and kept(shop, job) == {"graph-7.pt2", "position.json"}
    assert blob_count(shop) == blobs + 2, "the one before is gone"
    event = shop.jobs.events(job.id)[-1]
    assert event.type == "requeued" and "signal 9" in event.message and "tried again" in event.message
    ended = again(job)
    assert (ended.status, ended.attempt) == ("succeeded", 2) and HELD in warnings(shop.jobs, job)
    assert checkpoints.release(shop.db, shop.blobs) == 2 and checkpoints.release(shop.db, shop.blobs) == 0
    assert kept(shop, job) == set() and shop.jobs.get(job.id).checkpoint_at is None


def test_a_lost_process_counts_only_without_a_checkpoint_in_between(submit: Do, again: Again) -> None:
    job = submit(f"""
attempt = int(folder.root.name)
if attempt <= 3:
    checkpoint(attempt, str(attempt).encode())
{DIE}""")
    assert [again(job).status for _ in range(4)] == ["queued"] * 3 + ["failed"]
    ended = again(job)
    assert (ended.attempt, code_of(ended)) == (4, "engine_died")


def test_a_job_waits_after_a_lost_process_and_longer_after_the_next(shop: Shop) -> None:
    shop.jobs = Jobs(shop.db, max_attempts=3, retry_seconds=3600)
    job = shop.job(model=shop.model().id)
    claim = shop.jobs.claim(job.id, "ada", 60)
    assert claim is not None
    assert shop.jobs.crashed(job.id, claim.attempt, PithError("unavailable", what="x").problem)
    assert shop.jobs.get(job.id).status == "queued"
    assert shop.jobs.due() == () and shop.jobs.sendable(job.id) is None
    assert not shop.jobs.crashed(job.id, claim.attempt, PithError("unavailable", what="x").problem), "fenced"


def test_a_job_may_ask_for_fewer_attempts(submit: Do, again: Again) -> None:
    ended = again(submit("import os; os.kill(os.getpid(), 9)", limits={"attempts": 1}))
    assert (ended.status, ended.attempt, code_of(ended)) == ("failed", 1, "engine_died")


def test_the_time_of_all_attempts_counts_and_that_of_a_pause_does_not(
    patient: Workplace, submit: Do, again: Again
) -> None:
    forever = "while not folder.stop.exists(): time.sleep(0.02)\ncheckpoint(int(folder.root.name))\ncode = 75"
    job = submit(f"events.emit('warning', 'asleep')\nimport time\n{forever}", limits={"seconds": 2.5})
    running = Running(patient, job)
    running.until_said("asleep")
    time.sleep(1)
    patient.jobs.pause(job.id)
    paused = running.end()
    assert paused.status == "paused" and 0.9 < paused.spent_seconds < 2.5
    time.sleep(2)
    patient.jobs.resume(job.id)
    started = time.monotonic()
    ended = again(job)
    assert (ended.status, code_of(ended)) == ("failed", "engine_timeout") and ended.error is not None
    assert "stopped after 2.5 seconds; raise limits.seconds" in ended.error.detail
    assert 0.3 < time.monotonic() - started < 2.4 and ended.spent_seconds >= 2.4


def test_a_worker_that_leaves_lets_the_job_save_a_checkpoint(patient: Workplace, submit: Do, again: Again) -> None:
    job = submit(STOPS)
    running = Running(patient, job)
    running.until_said("asleep")
    patient.stopping.set()
    given_back = running.end()
    assert (given_back.status, given_back.attempt) == ("queued", 1)
    patient.stopping.clear()
    assert again(job).status == "succeeded" and HELD in warnings(patient.jobs, job)


def test_a_job_that_does_not_stop_in_time_is_given_back_with_the_checkpoint_it_has(
    patient: Workplace, submit: Do, again: Again, shop: Shop
) -> None:
    hasty = replace(patient, options=patient.options.model_copy(update={"drain_seconds": 0.3}))
    job = submit(
        f"{GOES_ON}\nelse:\n    checkpoint(7, b'weights')\n    events.emit('warning', 'asleep')\n    while True: pass"
    )
    running = Running(hasty, job)
    running.until_said("asleep")
    eventually(lambda: kept(shop, job))
    hasty.stopping.set()
    assert running.end().status == "queued"
    hasty.stopping.clear()
    assert again(job).status == "succeeded" and HELD in warnings(patient.jobs, job)


def test_a_running_job_is_paused_and_resumed(patient: Workplace, submit: Do, again: Again) -> None:
    job = submit(STOPS)
    running = Running(patient, job)
    running.until_said("asleep")
    assert patient.jobs.pause(job.id).status == "pausing"
    assert running.end().status == "paused"
    assert again(job).status == "paused", "nobody may take it"
    resumed = patient.jobs.resume(job.id)
    assert resumed.status == "queued" and patient.jobs.due() == (job.id,)
    assert again(job).status == "succeeded" and HELD in warnings(patient.jobs, job)
    kinds = [event.type for event in patient.jobs.events(job.id)]
    assert [kind for kind in kinds if kind in ("pausing", "paused", "resumed")] == ["pausing", "paused", "resumed"]


def test_a_job_that_is_pausing_can_be_cancelled(patient: Workplace, submit: Do) -> None:
    job = submit("events.emit('warning', 'asleep')\nwhile True: pass")
    running = Running(patient, job)
    running.until_said("asleep")
    patient.jobs.pause(job.id)
    patient.jobs.cancel(job.id)
    assert running.end().status == "cancelled"


def test_nobody_may_stop_of_its_own_accord(submit: Do, again: Again) -> None:
    ended = again(submit("checkpoint(0)\ncode = 75"))
    assert (ended.status, code_of(ended)) == ("failed", "engine_fault")


@pytest.mark.parametrize(
    "left",
    [
        "(folder.checkpoint / 'position.json').write_text('{')",
        "(folder.checkpoint / 'position.json').mkdir()",
        "os.mkfifo(folder.checkpoint / 'position.json')",
        "(folder.checkpoint / 'position.json').symlink_to('/etc/passwd')",
        "checkpoint(0); (folder.checkpoint / 'graph-0.pt2').unlink()",
        "(folder.checkpoint / 'graph-0.pt2').symlink_to('/etc/passwd'); " + NAMES.format("graph-0.pt2"),
        NAMES.format("../../../pith.db"),
        "(folder.checkpoint / 'position.json').write_bytes(b' ' * (17 << 20))",
        "other = folder.checkpoint.rename(folder.out / 'other'); folder.checkpoint.symlink_to(other); checkpoint(0)",
    ],
)
def test_what_is_no_checkpoint_is_not_kept_and_the_job_goes_on(
    submit: Do, patient: Workplace, shop: Shop, left: str
) -> None:
    """Without a sandbox, which would not let the job make most of these."""
    place = replace(patient, options=patient.options.model_copy(update={"sandbox": "off"}))
    job = submit(f"import os, time\nfolder.checkpoint.mkdir()\n{left}\ntime.sleep(0.8)\nsucceed()")
    ended = Running(place, job).end()
    assert ended.status == "succeeded" and ended.checkpoint_at is None and kept(shop, job) == set()


def test_a_position_that_names_a_file_twice_is_kept_once(submit: Do, again: Again, shop: Shop) -> None:
    twice = '{"number": 0, "graph": "graph-0.pt2", "training": "graph-0.pt2"}'
    job = submit(f"""
if not folder.checkpoint.exists():
    checkpoint(0)
    (folder.checkpoint / "position.json").write_text({twice!r})
    {DIE}
succeed()""")
    assert again(job).status == "queued" and kept(shop, job) == {"graph-0.pt2", "position.json"}
    assert again(job).status == "succeeded"


def test_a_checkpoint_that_the_store_has_no_room_for_does_not_hurt_the_job(
    submit: Do, again: Again, shop: Shop, patient: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise PithError("storage_full", needed="Some")

    monkeypatch.setattr(keeper, "store_open", full)
    ended = again(submit("import time\ncheckpoint(0)\ntime.sleep(0.8)\nsucceed()"))
    assert ended.status == "succeeded" and ended.checkpoint_at is None


def test_sigterm_to_a_real_worker_and_kill_9_of_a_real_process(service: Service, submit: Do) -> None:
    service.set("PITH_DRAIN_SECONDS", "20")
    service.set("PITH_RETRY_SECONDS", "0.1")
    worker = service.worker()
    job = submit(STOPS)
    service.send(job.id)
    until_said(service, job, "asleep")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0 and service.jobs.get(job.id).checkpoint_at is not None
    killed = submit(f"{GOES_ON}\nelse:\n    checkpoint(7, b'weights')\n    {DIE.replace('0.8', '2.5')}")
    service.scheduler()
    service.worker()
    for one in (job, killed):
        assert until(service, one, "succeeded").attempt == 2
        assert HELD in warnings(service.jobs, one)
    eventually(lambda: service.jobs.get(job.id).checkpoint_at is None)


def test_a_process_that_the_kernel_ended_for_want_of_memory_is_told_to_use_less(
    submit: Do, again: Again, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = iter([0, 1, 1, 1, 1, 2, 2, 2])  # before and after each attempt; the second died of something else
    monkeypatch.setattr(oom, "kills", lambda: next(counted))
    job = submit(f"""
events.emit('warning', f'pieces {{folder.read().pieces}}')
attempt = int(folder.root.name)
if attempt <= 3:
    checkpoint(attempt, str(attempt).encode())
    {DIE}
succeed()""")
    lost = [again(job) for _ in range(3)]
    assert [one.status for one in lost] == ["queued"] * 3
    assert "probably out of memory" in shop.jobs.events(job.id)[-1].message
    assert again(job).status == "succeeded"
    assert warnings(shop.jobs, job) == ["pieces 1", "pieces 2", "pieces 2", "pieces 4"]
