"""Jobs that are deleted, by hand or by age, and what is left of them."""

import itertools

import pytest

from pith.errors import PithError
from store.attempts import NewArtifact
from store.checkpoints import Kept
from store.queue import Queue
from store.references import is_referred
from store.scheduler import Scheduler
from store.settings import Settings
from tests.store.redis_process import RedisProcess
from tests.store.shop import Shop


def ended(shop: Shop, content: bytes = b"result") -> str:
    """A job that has succeeded, with one artifact."""
    job = shop.job(model=shop.model().id)
    claim = shop.jobs.claim(job.id, "ada", 600)
    assert claim is not None
    stored = shop.blob(content)
    artifact = NewArtifact("model", "model.onnx", "onnx", stored.digest, stored.size)
    assert shop.jobs.succeed(job.id, claim.attempt, [artifact], "unconstrained")
    shop.blobs.settle(stored.digest)
    return job.id


def test_a_job_goes_with_all_that_it_made_and_is_remembered(shop: Shop) -> None:
    job = ended(shop)
    [artifact] = shop.jobs.get(job).artifacts
    shop.jobs.delete(job, shop.blobs)
    for ask in (shop.jobs.get, shop.jobs.events, shop.jobs.cancel, lambda id: shop.jobs.delete(id, shop.blobs)):
        with pytest.raises(PithError, match=r"gone.*somebody asked for it"):
            ask(job)
    with pytest.raises(PithError, match="blob_missing"):
        shop.blobs.open(artifact.digest)
    assert job not in [one.id for one in shop.jobs.list(limit=200).data]


def test_bytes_that_another_job_has_too_stay(shop: Shop) -> None:
    one, other = ended(shop), ended(shop)
    shop.jobs.delete(one, shop.blobs)
    [artifact] = shop.jobs.get(other).artifacts
    with shop.blobs.open(artifact.digest) as file:
        assert file.read() == b"result"


def test_a_failed_job_takes_its_checkpoint_along(shop: Shop) -> None:
    job = shop.job(model=shop.model().id)
    claim = shop.jobs.claim(job.id, "ada", 600)
    assert claim is not None
    stored = shop.blob(b"checkpoint")
    shop.jobs.keep(job.id, claim.attempt, [Kept("position.json", *stored)], shop.blobs)
    shop.jobs.fail(job.id, claim.attempt, PithError("unavailable", what="x").problem)
    shop.jobs.delete(job.id, shop.blobs)
    assert not is_referred(shop.db, stored.digest)
    with pytest.raises(PithError, match="blob_missing"):
        shop.blobs.open(stored.digest)


@pytest.mark.parametrize("status", ["queued", "running", "paused"])
def test_a_job_that_has_not_ended_is_not_deleted(shop: Shop, status: str) -> None:
    job = shop.job(model=shop.model().id)
    if status == "running":
        shop.jobs.claim(job.id, "ada", 600)
    elif status == "paused":
        shop.jobs.pause(job.id)
    with pytest.raises(PithError, match=rf"job_not_ended.*{status}"):
        shop.jobs.delete(job.id, shop.blobs)
    assert shop.jobs.get(job.id).status == status


def test_old_jobs_are_deleted_where_that_is_wanted(shop: Shop, redis: RedisProcess) -> None:
    job, waiting = ended(shop), shop.job(model=shop.model().id)
    look(shop, redis, Settings())
    assert shop.jobs.get(job).status == "succeeded"
    look(shop, redis, Settings(retain_seconds=1e-6))
    with pytest.raises(PithError, match=r"gone.*PITH_RETAIN_SECONDS"):
        shop.jobs.get(job)
    assert shop.jobs.get(waiting.id).status == "queued"


def look(shop: Shop, redis: RedisProcess, settings: Settings) -> None:
    """What a scheduler does that has been there for a lease."""
    clock = itertools.count(0, 1000)
    scheduler = Scheduler(shop.db, shop.blobs, Queue(redis.url), settings, lambda: float(next(clock)))
    scheduler.tick()
    scheduler.tick()
