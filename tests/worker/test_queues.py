"""Checks of uploads do not wait behind jobs; a worker that only checks keeps no fork server it does not need."""

import pytest
from pydantic import ValidationError

from pith.job import Job
from store.settings import Settings
from tests.processes import descendants
from tests.store.shop import Shop
from tests.waiting import eventually
from tests.worker.conftest import Do
from tests.worker.processes import WAIT_FOR_GO, Service, until, until_said
from worker.application import queues
from worker.rest import Rest
from worker.settings import WorkerSettings
from worker.warm_client import WarmServer


@pytest.mark.parametrize(
    ("given", "names"),
    [("jobs,intake", "pith.intake,pith"), ("intake", "pith.intake"), (" jobs ,", "pith"), (None, "pith.intake,pith")],
)
def test_a_worker_takes_the_queues_that_it_is_told(
    given: str | None, names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if given is not None:
        monkeypatch.setenv("PITH_WORKER_QUEUES", given)
    assert queues() == names


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
