"""One job from claim to final status, in this process, with a real fork server and a real child."""

import os
import resource
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pith.job import Job
from store import paths
from store.settings import Settings
from tests.processes import children, descendants
from tests.store.shop import Shop
from tests.waiting import eventually
from tests.worker.conftest import Do
from tests.worker.processes import WAIT_FOR_GO
from worker import staging, supervise
from worker.workplace import Workplace

FAIL = "fail(PithError('reload_failed', name='model.onnx', problem='other numbers'))\ncode = 1"
FOREVER = "import time\nprint('begun', flush=True)\nwhile True: time.sleep(0.05)"


class Running:
    """A job that is being supervised in a thread."""

    def __init__(self, place: Workplace, job: Job) -> None:
        self.place = place
        self.id = job.id
        self._thread = threading.Thread(target=supervise.run, args=(place, job.id))
        self._thread.start()

    def until_said(self, message: str) -> None:
        eventually(lambda: any(event.message == message for event in self.place.jobs.events(self.id)))

    def end(self) -> Job:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.place.jobs.get(self.id)

    def child(self) -> int:
        """The process that runs the script: the last in the line guard, init, job."""
        return descendants(self.server())[-1]

    def server(self) -> int:
        assert self.place.server.pid is not None
        return self.place.server.pid


@pytest.fixture
def running(place: Workplace, submit: Do) -> Callable[[str], Running]:
    """Supervise a job that sleeps, once it says that it does; ``first`` is run before."""

    def start(first: str = "") -> Running:
        found = Running(place, submit(f"{first}\nevents.emit('warning', 'asleep')\n{FOREVER}"))
        found.until_said("asleep")
        return found

    return start


def code_of(job: Job) -> str | None:
    return job.error.code if job.error else None


def work_is_gone(place: Workplace) -> bool:
    root = paths.all_work(place.settings.data_dir)
    return not root.exists() or not list(root.iterdir())


def test_success_stores_what_the_spec_asks_for(do: Do, place: Workplace) -> None:
    job = do("events.progress(0.5, 'half')\nsucceed()", outputs=["onnx", "safetensors"])
    assert (job.status, job.verdict, job.progress.fraction) == ("succeeded", "unconstrained", 1)
    names = {artifact.name: artifact for artifact in job.artifacts}
    assert set(names) == {"model.onnx", "model.safetensors", "report.json", "report.html"}
    with place.blobs.open(names["model.onnx"].digest) as file:
        assert file.read() == b"a model as onnx"
    assert work_is_gone(place)


def test_the_child_gets_its_inputs(do: Do, shop: Shop) -> None:
    teacher, dataset = shop.model(b"teacher"), shop.dataset(b"dataset")
    recipe = [{"kind": "distill.logits", "teacher": teacher.id}, {"kind": "quantize.weight_only", "bits": 2}]
    script = f"""
said = folder.read().foreseen
assert said.steps[0] == () and "2 bits" in said.steps[1][1] and "more than the 8 samples" in said.job[0]
assert folder.input("dataset.arrow").read_bytes() == b"dataset"
assert folder.other({teacher.id!r}).given_model().read_bytes() == b"teacher"
assert folder.read().dataset_digest == {dataset.digest!r}
succeed()"""
    assert do(script, dataset=dataset.id, recipe=recipe).status == "succeeded"


def test_events_and_progress_are_recorded(do: Do, place: Workplace) -> None:
    job = do(f"""
events.step = 0
events.emit('step_started', 'prune')
events.progress(0.25, 'a quarter')
{FAIL}""")
    messages = [(event.type, event.message, event.step) for event in place.jobs.events(job.id)]
    assert ("step_started", "prune", 0) in messages
    assert (job.progress.fraction, job.progress.step, job.progress.message) == (0.25, 0, "a quarter")


def test_a_problem_of_the_engine_is_the_jobs_error(do: Do) -> None:
    job = do(FAIL)
    assert job.error is not None
    assert (job.status, job.error.code, job.error.title) == ("failed", "reload_failed", "Result does not reload")
    assert "other numbers" in job.error.detail


@pytest.mark.parametrize(
    ("ending", "logged"),
    [
        (FAIL, False),
        ("fail(PithError('engine_fault', error='a bug'))\ncode = 1", True),
        ("code = 1", True),
        ("code = 3", True),
    ],
)
def test_what_the_process_printed_is_logged_only_for_a_fault(
    do: Do, caplog: pytest.LogCaptureFixture, ending: str, logged: bool
) -> None:
    job = do(f"import sys\nprint('Traceback of it', file=sys.stderr, flush=True)\n{ending}")
    assert job.status == "failed"
    assert ("| Traceback of it" in caplog.text) == logged


@pytest.mark.parametrize(
    "left",
    [
        "",
        "folder.error.write_text('{')",
        "folder.error.mkdir()",
        "folder.error.write_text('x' * 100_000)",
        f"{FAIL}\nfolder.error.write_text(folder.error.read_text().replace('\"reload_failed\"', '\"made_up\"'))",
    ],
)
def test_a_failure_without_a_proper_problem_is_a_fault(do: Do, left: str) -> None:
    job = do(f"{left}\ncode = 1")
    assert (job.status, code_of(job)) == ("failed", "engine_fault")


def test_an_unexpected_exit_code_is_a_fault_with_the_last_words(do: Do) -> None:
    job = do("raise RuntimeError('the last\\x1b words')")
    assert job.error is not None
    assert job.error.code == "engine_fault"
    assert "exit code 70" in job.error.detail
    assert "RuntimeError: the last words" in job.error.detail


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        ("import os; os.kill(os.getpid(), 9)", "signal 9 (SIGKILL)"),
        ("import os; os.abort()", "signal 6 (SIGABRT)"),
        ("import ctypes; ctypes.string_at(0)", "signal 11 (SIGSEGV)"),
    ],
)
def test_a_child_that_dies_of_a_signal(do: Do, place: Workplace, script: str, cause: str) -> None:
    job = do(f"events.step = 0\nevents.progress(0.5, 'epoch 3')\n{script}")
    assert job.error is not None
    assert (job.status, job.error.code) == ("failed", "engine_died")
    assert f"ended by {cause} at recipe[0] (prune.magnitude), epoch 3, 50% of the job;" in job.error.detail
    assert work_is_gone(place)


def test_sigkill_in_mid_job(running: Callable[[], Running]) -> None:
    job = running()
    os.kill(job.child(), signal.SIGKILL)
    ended = job.end()
    assert (ended.status, code_of(ended)) == ("failed", "engine_died")


def test_sigkill_of_the_guard_takes_everything_along(running: Callable[[], Running]) -> None:
    job = running()
    child = job.child()
    [guard] = children(job.server())
    os.kill(guard, signal.SIGKILL)
    assert code_of(job.end()) == "engine_died"
    eventually(lambda: not Path(f"/proc/{child}").exists())


def test_the_fork_server_dies_and_the_next_job_has_a_new_one(running: Callable[[], Running], do: Do) -> None:
    job = running()
    child, server = job.child(), job.server()
    os.kill(server, signal.SIGKILL)
    ended = job.end()
    assert ended.error is not None
    assert ended.error.code == "engine_died"
    assert "forked from" in ended.error.detail
    eventually(lambda: not Path(f"/proc/{child}").exists())
    assert do("succeed()").status == "succeeded"
    assert job.place.server.pid != server


def test_cancel_stops_the_child_and_all_that_it_forked(running: Callable[[str], Running]) -> None:
    job = running("import os, signal\nif not os.fork(): signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    child = job.child()
    job.place.jobs.cancel(job.id)
    asked = time.monotonic()
    assert job.end().status == "cancelled"
    assert time.monotonic() - asked < 20  # generous; the promise of two seconds is measured in bench
    assert not Path(f"/proc/{child}").exists()
    assert work_is_gone(job.place)


def test_a_worker_that_leaves_gives_the_job_back(running: Callable[[], Running]) -> None:
    job = running()
    job.place.stopping.set()
    ended = job.end()
    assert ended.status == "queued"
    assert any(event.type == "requeued" for event in job.place.jobs.events(job.id))
    assert work_is_gone(job.place)


def test_a_fenced_attempt_writes_nothing(running: Callable[[], Running], place: Workplace) -> None:
    job = running()
    child = job.child()
    assert place.jobs.give_back(job.id, 1)
    claim = place.jobs.claim(job.id, "another", 60)
    assert claim is not None
    before = place.jobs.events(job.id)
    ended = job.end()
    assert (ended.status, ended.attempt) == ("running", 2)
    assert place.jobs.events(job.id) == before
    assert not Path(f"/proc/{child}").exists()


def test_the_time_limit(submit: Do, place: Workplace) -> None:
    options = place.options.model_copy(update={"job_time_seconds": 0.2})
    job = submit(FOREVER)
    supervise.run(replace(place, options=options), job.id)
    ended = place.jobs.get(job.id)
    assert ended.error is not None
    assert (ended.status, ended.error.code) == ("failed", "engine_timeout")
    assert "after 0.2 seconds" in ended.error.detail


FILL = """
from pathlib import Path
for number in range(100):
    Path(f"filled-{number}").write_bytes(bytes(1 << 20))
"""
CROWD = """
from pathlib import Path
for number in range(2000):
    Path(f"empty-{number}").write_bytes(b"")
"""


@pytest.mark.parametrize("script", [FILL, CROWD], ids=["large files", "many files"])
def test_the_sum_of_its_files_is_limited(submit: Do, place: Workplace, script: str) -> None:
    """Each file is far below the limit of one."""
    tight = replace(place, options=place.options.model_copy(update={"job_disk_bytes": 4 << 20}))
    job = submit(f"{script}\n{FOREVER}")
    supervise.run(tight, job.id)
    ended = place.jobs.get(job.id)
    assert ended.status == "failed" and ended.error is not None
    assert ended.error.code == "out_of_disk" and "4194304" in ended.error.detail
    assert not paths.work(place.settings.data_dir, job.id, 1).exists(), "what it wrote is gone"


def test_a_second_message_does_nothing(do: Do, place: Workplace) -> None:
    job = do("succeed()")
    supervise.run(place, job.id)
    supervise.run(place, "job_" + "0" * 26)
    supervise.run(place, "../../etc/passwd")
    assert place.jobs.get(job.id) == job


def test_a_missing_blob_fails_the_job(submit: Do, place: Workplace, shop: Shop) -> None:
    job = submit("succeed()")
    digest = shop.models.get(job.spec.model).digest
    place.blobs.path(digest).unlink()
    supervise.run(place, job.id)
    ended = place.jobs.get(job.id)
    assert (ended.status, code_of(ended)) == ("failed", "blob_missing")


def test_a_full_disk_while_storing(submit: Do, place: Workplace) -> None:
    """Files may not grow beyond a limit: the store takes that, too, for a full disk."""
    job = submit("succeed()\nfolder.output('onnx').write_bytes(bytes(3 << 20))")
    place.server.warm_up()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, limits[1]))
    try:
        supervise.run(place, job.id)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    ended = place.jobs.get(job.id)
    assert (ended.status, code_of(ended)) == ("failed", "storage_full")
    assert work_is_gone(place)


def test_a_maze_of_folders_is_removed(do: Do, place: Workplace) -> None:
    maze = "import os\nos.chdir(folder.out)\nfor _ in range(1200): os.mkdir('d'); os.chdir('d')"
    assert do(f"succeed()\n{maze}").status == "succeeded"
    assert work_is_gone(place)


def test_the_memory_limit_is_an_error_inside_the_child(do: Do) -> None:
    job = do("import sys\ntry:\n    bytearray(2 << 30)\nexcept MemoryError:\n    succeed()")
    assert job.status == "succeeded"


def test_a_database_that_is_away_in_mid_job_loses_nothing(place: Workplace, submit: Do, settings: Settings) -> None:
    """It answers with errors: the table of jobs has another name for a while."""
    job = Running(place, submit(WAIT_FOR_GO))
    job.until_said("asleep")
    with sqlite3.connect(paths.database(settings.data_dir), timeout=20) as database:
        database.execute("ALTER TABLE jobs RENAME TO jobs_away")
        database.commit()
        folder = paths.work(settings.data_dir, job.id, 1)
        (folder / "go").touch()
        eventually(lambda: not folder.exists())
        database.execute("ALTER TABLE jobs_away RENAME TO jobs")
    database.close()
    assert job.end().status == "succeeded"
    messages = [event.message for event in place.jobs.events(job.id)]
    assert messages.count("awake") == 1


def test_the_lease_is_renewed_while_it_runs(running: Callable[[], Running]) -> None:
    job = running()
    time.sleep(job.place.settings.lease_seconds + 0.5)
    assert job.place.jobs.reap() == ()
    job.place.jobs.cancel(job.id)
    assert job.end().status == "cancelled"


def test_what_a_lost_worker_left_is_swept(place: Workplace, do: Do, submit: Do) -> None:
    ended, queued = do("succeed()"), submit("succeed()")
    for job in (ended.id, queued.id, "job_unknown"):
        paths.work(place.settings.data_dir, job, 1).mkdir(parents=True)
    staging.sweep(place.settings.data_dir, place.jobs)
    assert [folder.name for folder in paths.all_work(place.settings.data_dir).iterdir()] == [queued.id]
