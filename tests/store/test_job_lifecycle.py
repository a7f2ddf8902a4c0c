"""Any order of calls by two workers, a caller and the scheduler, against a model of what should happen."""

import secrets
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from pith.access import NewProject, ProjectChange, Quotas
from pith.errors import PithError
from pith.job import FINAL, TRANSITIONS, Job, Progress
from store import checkpoints, paths
from store.access import Projects
from store.attempts import NewArtifact
from store.checkpoints import Kept
from store.jobs import Jobs
from store.references import is_referred
from store.resources import datasets, models
from tests.store.shop import Shop

HELD = ("running", "pausing", "cancelling")
MAX_ATTEMPTS = 3
ENDS = ["succeed", "fail", "cancelled", "give_back", "crashed"]
ASIDE = {
    "running": ("queued", "requeued"),
    "pausing": ("paused", "paused"),
    "cancelling": ("cancelled", "cancelled"),
}
"""What becomes of a job whose worker is gone."""
workers = st.sampled_from(["ada", "bob"])
leases = st.sampled_from([-1, 600])


@dataclass
class Expected:
    """What the job's row should say."""

    id: str
    status: str = "queued"
    attempt: int = 0
    losses: int = 0
    expired: bool = False
    kept: bool = False
    holder: str | None = None
    history: list[str] = field(default_factory=lambda: ["queued"])
    frozen: Any = None

    def to(self, status: str, event: str) -> None:
        assert status in TRANSITIONS[self.status]  # type: ignore[index]
        self.status = status
        self.history.append(event)
        self.holder = self.holder if status in HELD else None


class Lifecycle(RuleBasedStateMachine):
    shop: Shop
    jobs = Bundle("jobs")

    @initialize()
    def open(self) -> None:
        """A project of its own, which may run as many jobs as ``most`` says."""
        self.known: list[Expected] = []
        self.most: int | None = None
        self.projects = Projects(self.shop.db)
        self.project = self.projects.create(NewProject(name="one")).id
        db, blobs = self.shop.db, self.shop.blobs
        self.shop = Shop(
            db,
            blobs,
            models(db, blobs, self.project),
            datasets(db, blobs, self.project),
            Jobs(db, project=self.project),
        )
        self.spec = self.shop.spec()

    @rule(target=jobs)
    def submit(self) -> Expected:
        expected = Expected(self.shop.jobs.submit(self.spec).id)
        self.known.append(expected)
        return expected

    @rule(job=jobs, worker=workers, lease=leases)
    def claim(self, job: Expected, worker: str, lease: float) -> None:
        claim = self.shop.jobs.claim(job.id, worker, lease)
        assert (claim is not None) == (job.status == "queued" and self.has_room())
        if claim is not None:
            job.attempt += 1
            job.expired = lease < 0
            job.to("running", "started")
            job.holder = worker
            assert claim.attempt == job.attempt

    @rule(most=st.sampled_from([None, 1, 2]))
    def allow(self, most: int | None) -> None:
        """Jobs that run already go on."""
        self.projects.change(self.project, ProjectChange(quotas=Quotas(jobs_at_once=most)))
        self.most = most

    @rule(job=jobs, back=st.integers(0, 2), lease=leases)
    def beat(self, job: Expected, back: int, lease: float) -> None:
        answer = self.shop.jobs.beat(job.id, job.attempt - back, lease)
        assert answer == (job.status if self.holds(job, back) else "fenced")
        if self.holds(job, back):
            job.expired = lease < 0

    @rule(job=jobs, back=st.integers(0, 2), count=st.integers(0, 3))
    def record(self, job: Expected, back: int, count: int) -> None:
        events = [self.shop.event(type="metric")] * count
        answer = self.shop.jobs.record(job.id, job.attempt - back, events, Progress(fraction=0.5))
        assert answer == (job.status if self.holds(job, back) else "fenced")
        if self.holds(job, back):
            job.history += ["metric"] * count

    @rule(job=jobs, back=st.integers(0, 2), end=st.sampled_from(ENDS))
    def end(self, job: Expected, back: int, end: str) -> None:
        attempt = job.attempt - back
        written = {
            "succeed": lambda: self.shop.jobs.succeed(job.id, attempt, [self.artifact()], "met"),
            "fail": lambda: self.shop.jobs.fail(job.id, attempt, PithError("unavailable", what="x").problem),
            "cancelled": lambda: self.shop.jobs.cancelled(job.id, attempt),
            "give_back": lambda: self.shop.jobs.give_back(job.id, attempt),
            "crashed": lambda: self.shop.jobs.crashed(job.id, attempt, PithError("unavailable", what="x").problem),
        }[end]()
        accepted = self.holds(job, back) and not (end == "cancelled" and job.status != "cancelling")
        assert written == accepted
        if accepted:
            if end == "crashed":
                self.lost(job)
            else:
                ends = {"succeed": ("succeeded",) * 2, "fail": ("failed",) * 2, "cancelled": ("cancelled",) * 2}
                job.to(*ends.get(end, ASIDE[job.status]))

    @rule(job=jobs)
    def cancel(self, job: Expected) -> None:
        if job.status in ("succeeded", "failed"):
            with pytest.raises(PithError, match="job_ended"):
                self.shop.jobs.cancel(job.id)
            return
        answer = self.shop.jobs.cancel(job.id)
        if job.status in ("queued", "paused"):
            job.to("cancelled", "cancelled")
        elif job.status in ("running", "pausing"):
            job.to("cancelling", "cancelling")
        assert answer.status == job.status

    @rule(job=jobs)
    def pause(self, job: Expected) -> None:
        if job.status in FINAL or job.status == "cancelling":
            with pytest.raises(PithError, match=r"job_ended|not_pausable"):
                self.shop.jobs.pause(job.id)
            return
        answer = self.shop.jobs.pause(job.id)
        if job.status in ("queued", "running"):
            job.to(*{"queued": ("paused", "paused"), "running": ("pausing", "pausing")}[job.status])
        assert answer.status == job.status

    @rule(job=jobs)
    def resume(self, job: Expected) -> None:
        if job.status != "paused":
            with pytest.raises(PithError, match="not_paused"):
                self.shop.jobs.resume(job.id)
            return
        job.to("queued", "resumed")
        assert self.shop.jobs.resume(job.id).status == "queued"

    @rule(job=jobs, back=st.integers(0, 2))
    def keep(self, job: Expected, back: int) -> None:
        """The bytes are new, as those of every checkpoint are."""
        stored = self.shop.blob(secrets.token_bytes(8))
        answer = self.shop.jobs.keep(job.id, job.attempt - back, [Kept("position.json", *stored)], self.shop.blobs)
        assert answer == (job.status if self.holds(job, back) else "fenced")
        if self.holds(job, back):
            job.losses, job.kept = 0, True
        assert is_referred(self.shop.db, stored.digest) == self.holds(job, back)
        assert paths.blob(self.shop.blobs.root, stored.digest).exists() == self.holds(job, back)

    @rule()
    def release(self) -> None:
        ended = [job for job in self.known if job.status in FINAL and job.kept]
        assert checkpoints.release(self.shop.db, self.shop.blobs) == len(ended)
        for job in ended:
            job.kept, job.frozen = False, None

    @rule()
    def reap(self) -> None:
        lost = {job.id for job in self.known if job.status in HELD and job.expired}
        assert set(self.shop.jobs.reap()) == lost
        for job in self.known:
            if job.id in lost:
                self.lost(job)

    def lost(self, job: Expected) -> None:
        job.losses += 1
        enough = job.status == "running" and job.losses >= MAX_ATTEMPTS
        job.to(*(("failed", "failed") if enough else ASIDE[job.status]))

    @rule(job=jobs)
    def mark(self, job: Expected) -> None:
        self.shop.jobs.mark_dispatched(job.id)
        assert job.id not in self.shop.jobs.due()

    @invariant()
    def what_is_used_is_counted(self) -> None:
        if not hasattr(self, "known"):
            return
        usage = self.projects.usage(self.project)
        assert usage.jobs_at_once == self.held()
        assert usage.jobs_unfinished == sum(job.status not in FINAL for job in self.known)
        due = self.shop.jobs.due()
        ready = {job.status for job in self.known if job.id in due}
        assert ready <= ({"queued"} if self.has_room() else set())

    @invariant()
    def everything_is_as_expected(self) -> None:
        for job in getattr(self, "known", ()):
            self.check(job, self.shop.jobs.get(job.id))

    def check(self, job: Expected, shown: Job) -> None:
        events = self.shop.jobs.events(job.id, limit=1000)
        assert (shown.status, shown.attempt) == (job.status, job.attempt)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert [event.type for event in events] == job.history
        assert (shown.checkpoint_at is not None) == job.kept
        assert (shown.finished_at is not None) == (job.status in FINAL)
        assert (shown.error is not None) == (job.status == "failed")
        assert bool(shown.artifacts) == (shown.verdict is not None) == (job.status == "succeeded")
        if job.status in FINAL:
            job.frozen = job.frozen or (shown, events)
            assert job.frozen == (shown, events)

    def teardown(self) -> None:
        """Leave nothing that the next example's reap would find."""
        for job in getattr(self, "known", ()):
            if job.status in HELD:
                self.shop.jobs.fail(job.id, job.attempt, PithError("unavailable", what="x").problem)
        checkpoints.release(self.shop.db, self.shop.blobs)

    def held(self) -> int:
        return sum(job.status in HELD for job in self.known)

    def has_room(self) -> bool:
        return self.most is None or self.held() < self.most

    def holds(self, job: Expected, back: int) -> bool:
        return back == 0 and job.status in HELD

    def artifact(self) -> NewArtifact:
        return NewArtifact("report", "report.json", "json", "sha256:" + "0" * 64, 0)


def test_any_order_of_calls_keeps_every_promise(shop: Shop) -> None:
    machine = type("Bound", (Lifecycle,), {"shop": shop})
    run_state_machine_as_test(
        machine,
        settings=settings(
            deadline=None,
            max_examples=25 if shop.db.is_sqlite else 12,
            stateful_step_count=30,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
