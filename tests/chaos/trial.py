"""Jobs under faults, and what must be true when all is quiet again."""

import random
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from pith.job import FINAL
from store import paths
from store.references import is_referred, sweep
from store.tables import JobRow
from tests.chaos.town import STEPS, Town, Watched, submit, undisturbed
from tests.store.postgres_process import PostgresProcess
from tests.waiting import eventually
from worker import staging


class Found(NamedTuple):
    """``attempts`` of all jobs together; ``seconds`` from the first job to the last end."""

    struck: Counter[str]
    attempts: int
    seconds: float


def trial(
    folder: Path, seed: int, jobs: int, faults: int, pause: float, postgres: PostgresProcess | None = None
) -> Found:
    """So many jobs, struck so many times while they run.

    Raises:
        AssertionError: a promise was not kept.
    """
    dice = random.Random(seed)
    undisturbed_seconds = pause * STEPS * jobs / Town.WORKERS
    with Town(folder, postgres) as town:
        started = time.monotonic()
        watched = [submit(town, number, pause) for number in range(jobs)]
        for _ in range(faults):
            time.sleep(dice.uniform(0, 4 * undisturbed_seconds / faults))
            town.strike(dice)
        for one in watched:
            one.end(600)
        seconds = time.monotonic() - started
        attempts = sum(_check(town, one) for one in watched)
        _check_nothing_is_left(town, jobs)
        return Found(town.struck, attempts, seconds)


def _check(town: Town, one: Watched) -> int:
    """The job succeeded with the undisturbed result, and its client has seen each event once; its attempts."""
    job = town.shop.jobs.get(one.id)
    assert job.status == "succeeded", (job.status, job.error)
    [result] = [artifact.digest for artifact in job.artifacts if artifact.name == "model.onnx"]
    assert result == undisturbed(one.seed), f"{one.id} has another result than when nothing happens"
    kept = []
    while page := town.shop.jobs.events(one.id, kept[-1][0] if kept else 0, 1000):
        kept += [(event.seq, event.type) for event in page]
    assert [seq for seq, _ in kept] == list(range(1, len(kept) + 1))
    assert one.seen == kept, f"{one.id}: the stream and the history differ"
    assert [type for _, type in kept if type in FINAL] == ["succeeded"]
    return job.attempt


def _check_nothing_is_left(town: Town, jobs: int) -> None:
    """Every job has truly ended, and each file belongs to something."""
    with town.db.reader() as session:
        ended = session.scalars(select(JobRow.status).where(JobRow.kind == "compression")).all()
        assert set(ended) <= FINAL and len(ended) == jobs, "and no job was queued twice"
        assert not session.scalars(select(JobRow.id).where(JobRow.lease_owner.is_not(None))).all()
    eventually(lambda: not _checkpoints(town))
    staging.sweep(town.data, town.shop.jobs)  # as every worker does when it starts
    work = paths.all_work(town.data)
    assert not work.exists() or not list(work.iterdir())
    sweep(town.db, town.shop.blobs, -10)  # as the scheduler does after a day
    blobs = town.shop.blobs
    assert not list(paths.incoming(blobs.root).iterdir()) and not list(paths.all_partial(blobs.root).iterdir())
    assert all(is_referred(town.db, digest) for digest in blobs.older_than(-10))


def _checkpoints(town: Town) -> int:
    with town.db.reader() as session:
        return len(session.scalars(select(JobRow.id).where(JobRow.checkpoint_at.is_not(None))).all())
