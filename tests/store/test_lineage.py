"""Forks, replays, kept steps and tags in the database: what is copied, what is held, what is found."""

import pytest

from pith.errors import PithError
from pith.job import Job, JobSpec
from pith.tags import JobChange, ResourceChange
from store.attempts import Claim
from store.checkpoints import Kept, release
from store.lineage import Origin
from store.references import is_referred
from tests.store.shop import PRUNE, Shop


def claimed(shop: Shop, job: Job) -> Claim:
    claim = shop.jobs.claim(job.id, "ada", 60)
    assert claim is not None
    return claim


def keep(shop: Shop, claim: Claim, step: int, words: str = "") -> list[Kept]:
    names = (f"graph-{step}.pt2", f"step-{step}.onnx", f"position-{step}.json")
    files = [Kept(name, *shop.blob(f"{name}{words}".encode())) for name in names]
    assert shop.jobs.keep_step(claim.job.id, claim.attempt, step, files, shop.blobs) == "running"
    return files


def spec_of(job: Job) -> JobSpec:
    assert isinstance(job.spec, JobSpec)
    return job.spec


def test_a_fork_holds_the_bytes_of_the_steps_before_it(shop: Shop) -> None:
    job = shop.job(recipe=[PRUNE] * 3, keep_steps=True)
    claim = claimed(shop, job)
    zero, one = keep(shop, claim, 0), keep(shop, claim, 1)
    assert shop.jobs.succeed(job.id, claim.attempt, (), "unconstrained")
    assert shop.jobs.get(job.id).kept_steps == (0, 1)
    plain = spec_of(job).model_copy(update={"keep_steps": False})
    fork = shop.jobs.submit(plain, origin=Origin(job.id, 2))
    assert fork.checkpoint_at is not None and fork.kept_steps == ()
    shop.jobs.delete(job.id, shop.blobs)
    assert not is_referred(shop.db, zero[0].digest), "the graph of an earlier step is no part of it"
    held = {"position.json": one[2], "graph-1.pt2": one[0], "step-0.onnx": zero[1], "step-1.onnx": one[1]}
    mine = claimed(shop, fork)
    assert mine.checkpoint == {name: file.digest for name, file in held.items()}
    assert all(is_referred(shop.db, file.digest) for file in held.values())
    assert shop.jobs.succeed(fork.id, mine.attempt, (), "unconstrained")
    assert release(shop.db, shop.blobs) == 4 and not is_referred(shop.db, one[0].digest)


def test_a_step_is_kept_once_and_not_for_an_attempt_that_is_over(shop: Shop) -> None:
    job = shop.job(keep_steps=True)
    claim = claimed(shop, job)
    old, new = keep(shop, claim, 0, "old"), keep(shop, claim, 0, "new")
    assert not is_referred(shop.db, old[0].digest) and is_referred(shop.db, new[0].digest)
    late = [Kept("graph-0.pt2", *shop.blob(b"late"))]
    assert shop.jobs.keep_step(job.id, claim.attempt + 1, 0, late, shop.blobs) == "fenced"
    assert not is_referred(shop.db, late[0].digest) and is_referred(shop.db, new[0].digest)


def test_a_fork_of_what_was_never_kept_is_not_made(shop: Shop) -> None:
    job = shop.job(recipe=[PRUNE] * 2, keep_steps=True)
    before = len(shop.jobs.list().data)
    with pytest.raises(PithError, match="step_not_kept"):
        shop.jobs.submit(spec_of(job), origin=Origin(job.id, 1))
    assert len(shop.jobs.list().data) == before


def test_a_replay_is_told_how_its_original_stands(shop: Shop) -> None:
    job = shop.job()
    replay = shop.jobs.submit(spec_of(job), origin=Origin(job.id))
    assert replay.replays == job.id and replay.forked_from is None
    original = claimed(shop, replay).original
    assert original is not None and (original.status, original.report, original.artifacts) == ("queued", None, {})
    assert claimed(shop, job).original is None


def test_tags_are_found_together_and_replaced_as_a_whole(shop: Shop) -> None:
    one = shop.jobs.submit(shop.spec(), tagged=("a", "b"))
    two = shop.jobs.submit(shop.spec(), tagged=("a",))
    assert [job.id for job in shop.jobs.list(tagged=("a",)).data] == [two.id, one.id]
    assert [job.tags for job in shop.jobs.list(tagged=("a", "b")).data] == [("a", "b")]
    assert shop.jobs.change(one.id, JobChange(tags=("c",))).tags == ("c",)
    assert shop.jobs.list(tagged=("b",)).data == ()
    model = shop.model()
    assert shop.models.change(model.id, ResourceChange(tags=("c",))).facts == model.facts
    assert [found.id for found in shop.models.list(tagged=("c",)).data] == [model.id]
    assert [job.id for job in shop.jobs.list(naming=(spec_of(one).model,)).data] == [one.id]


def test_what_is_changed_under_a_condition_is_checked_in_the_same_transaction(shop: Shop) -> None:
    job, model = shop.job(), shop.model()

    def refuse(shown: object) -> None:
        raise PithError("precondition_failed", given="x", etag="y")

    for ask in (
        lambda: shop.jobs.change(job.id, JobChange(tags=("x",)), refuse),
        lambda: shop.jobs.delete(job.id, shop.blobs, check=refuse),
        lambda: shop.models.change(model.id, ResourceChange(name="x"), refuse),
        lambda: shop.models.delete(model.id, refuse),
    ):
        with pytest.raises(PithError, match="precondition_failed"):
            ask()
    assert shop.jobs.get(job.id).tags == () and shop.models.get(model.id).name == model.name
