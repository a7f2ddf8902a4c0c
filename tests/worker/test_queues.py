"""Checks of uploads do not wait behind jobs; a worker that only checks keeps no fork server it does not need."""

import pytest
from pydantic import ValidationError

from pith.job import Job
from store.settings import Settings
from store.workers import Workers
from tests.processes import descendants
from tests.store.shop import Shop
from tests.waiting import eventually
from tests.worker.conftest import Do
from tests.worker.processes import WAIT_FOR_GO, Service, until, until_said
from worker import devices
from worker.application import queues
from worker.rest import Rest
from worker.settings import WorkerSettings
from worker.warm_client import WarmServer


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("jobs,intake", "pith.intake,pith.cpu,pith"),
        ("intake", "pith.intake"),
        (" jobs ,", "pith.cpu,pith"),
        ("own", "pith.cpu"),
        ("own,intake", "pith.intake,pith.cpu"),
        (None, "pith.intake,pith.cpu,pith"),
    ],
)
def test_a_worker_takes_the_queues_that_it_is_told(
    given: str | None, names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PITH_DEVICE", "cpu")
    if given is not None:
        monkeypatch.setenv("PITH_WORKER_QUEUES", given)
    assert queues() == names


def test_a_worker_with_a_gpu_takes_what_asks_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpus", lambda: 1)
    monkeypatch.setenv("PITH_WORKER_QUEUES", "jobs")
    assert queues() == "pith.gpu,pith"
    monkeypatch.setenv("PITH_DEVICE", "cpu")
    assert queues() == "pith.cpu,pith"


@pytest.mark.parametrize("given", ["", "job", "jobs,all"])
def test_other_queues_are_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PITH_WORKER_QUEUES", given)
    with pytest.raises(ValidationError, match="worker_queues"):
        WorkerSettings()


def test_a_check_does_not_wait_for_a_job_to_end(service: Service, submit: Do, shop: Shop, settings: Settings) -> None:
    service.scheduler()
    service.set("PITH_WORKER_QUEUES", "jobs")
    service.worker()
    long = submit(WAIT_FOR_GO)
    until_said(service, long, "asleep")
    service.set("PITH_WORKER_QUEUES", "intake")
    checker = service.worker()
    eventually(lambda: service.log.read_text().count(" ready.") == 2)
    assert not descendants(checker.pid), "no fork server before there is something to check"
    model = shop.unchecked_model(b"learn()")
    waiting = shop.jobs.submit(shop.spec(model=model.id))
    eventually(lambda: shop.models.get(model.id).status == "ready")
    assert shop.jobs.get(long.id).status == "running"
    assert shop.jobs.get(waiting.id).status == "queued", "the checker does no jobs"
    (settings.data_dir / "work" / long.id / "1" / "go").touch()
    until(service, long, "succeeded")
    eventually(lambda: shop.jobs.get(waiting.id).attempt == 1)


def test_a_worker_for_both_checks_first(service: Service, submit: Do, shop: Shop) -> None:
    jobs = [submit("succeed()") for _ in range(3)]
    models = [shop.unchecked_model(b"learn() # %d" % number) for number in range(3)]
    for id in (*(job.id for job in jobs), *(model.check for model in models)):
        service.send(id)
    service.worker()
    began = [_began(until(service, job, "succeeded")) for job in jobs]
    checked = [_began(shop.jobs.get(model.check)) for model in models]
    assert max(checked) < min(began)


def _began(job: Job) -> float:
    assert job.started_at is not None
    return job.started_at.timestamp()


def test_a_checker_that_is_killed_leaves_the_check_to_the_next(service: Service, shop: Shop) -> None:
    service.set("PITH_WORKER_QUEUES", "intake")
    checker = service.worker()
    service.scheduler()
    model = shop.unchecked_model(b"""
if folder.root.name == "1":
    events.emit("warning", "asleep")
    import time
    while True: time.sleep(0.05)
learn()""")
    until_said(service, shop.jobs.get(model.check), "asleep")
    checker.kill()
    service.worker()
    eventually(lambda: shop.models.get(model.id).status == "ready")
    assert shop.jobs.get(model.check).attempt == 2


class Closed:
    """Stands in for a fork server."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_a_fork_server_goes_home_when_it_is_idle_and_not_while_it_works() -> None:
    server = Closed()
    rest = Rest(server, 0.05)  # type: ignore[arg-type]
    with rest.over():
        with rest.over():
            pass
        eventually(lambda: rest._timer is not None and not rest._timer.is_alive())
        assert server.closed == 0
    eventually(lambda: server.closed == 1)


def test_a_fork_server_that_is_to_stay_stays() -> None:
    rest = Rest(WarmServer(), None)
    with rest.over():
        pass
    assert rest._timer is None


def test_urgent_jobs_are_taken_first(service: Service, submit: Do) -> None:
    jobs = {priority: submit("succeed()", priority=priority) for priority in ("low", "normal", "high")}
    for job in jobs.values():
        service.send(job.id)
    service.worker()
    started = {name: until(service, job, "succeeded").started_at for name, job in jobs.items()}
    assert sorted(started, key=lambda name: started[name]) == ["high", "normal", "low"]


def test_a_worker_takes_what_is_for_its_device_first_and_leaves_the_rest(
    service: Service, submit: Do, shop: Shop
) -> None:
    gpu = submit("succeed()", device="gpu", priority="high")
    free = [submit("succeed()"), submit("succeed()", priority="high")]
    own = [submit("succeed()", device="cpu"), submit("succeed()", device="cpu", priority="high")]
    for job in (gpu, *free, *own):
        service.send(job.id)
    service.worker()
    started = {job.id: until(service, job, "succeeded").started_at for job in (*free, *own)}
    assert sorted(started, key=lambda id: started[id]) == [own[1].id, free[1].id, own[0].id, free[0].id]
    left = shop.jobs.get(gpu.id)
    assert (left.status, left.attempt) == ("queued", 0)
    assert left.waits_for is not None and "GPU" in left.waits_for


def test_workers_say_that_they_are_there_and_that_they_leave(service: Service, shop: Shop) -> None:
    worker = service.worker()
    (found,) = eventually(Workers(shop.db).list)
    assert (found.device, found.queues) == ("cpu", ("intake", "jobs"))
    worker.terminate()
    worker.wait()
    assert Workers(shop.db).list() == ()
