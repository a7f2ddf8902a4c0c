"""What finished steps leave is kept as it appears, from whatever attempt; and nothing that is not what it says."""

from dataclasses import replace
from typing import Any

import pytest

from engine.jobdir import JobDir
from pith.job import Job
from store import lineage
from store.checkpoints import Kept
from store.tables import StepRow
from tests.store.shop import Shop
from tests.worker.conftest import Do
from worker import keeper, supervise
from worker.workplace import Workplace

TWO = [{"kind": "prune.magnitude"}, {"kind": "prune.magnitude"}]
LEAVE = """
def leave(at, data=b"graph", **changes):
    from engine.position import Position
    folder.steps.mkdir(exist_ok=True)
    (folder.steps / f"graph-{at}.pt2").write_bytes(data)
    (folder.steps / f"step-{at}.onnx").write_bytes(b"onnx")
    said = Position(number=0, step=at + 1, graph=f"graph-{at}.pt2").model_copy(update=changes)
    (folder.steps / f"position-{at}.json").write_text(said.model_dump_json())
"""


def kept(shop: Shop, job: Job) -> dict[str, bytes]:
    with shop.db.reader() as session:
        rows = session.query(StepRow).filter_by(job_id=job.id).all()
    found = {}
    for row in rows:
        with shop.blobs.open(row.digest) as file:
            found[row.name] = file.read()
    return found


def test_steps_are_kept_when_the_job_succeeds_and_when_it_fails(do: Do, shop: Shop) -> None:
    for end, status in (
        ("succeed()", "succeeded"),
        ("fail(PithError('out_of_memory', limit='it')); code = 1", "failed"),
    ):
        job = do(f"{LEAVE}\nleave(0)\n{end}", recipe=TWO, keep_steps=True)
        assert (job.status, job.kept_steps) == (status, (0,))
        found = kept(shop, job)
        assert found.keys() == {"graph-0.pt2", "step-0.onnx", "position-0.json"} and found["step-0.onnx"] == b"onnx"


def test_nothing_is_kept_of_a_job_that_does_not_ask(do: Do, shop: Shop) -> None:
    job = do(f"{LEAVE}\nleave(0)\nsucceed()", recipe=TWO)
    assert job.status == "succeeded" and kept(shop, job) == {}


def test_a_checkpoint_never_goes_beyond_what_is_kept_of_steps(
    do: Do, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step is finished, and the checkpoint after it written, while the worker looks."""
    monkeypatch.setattr(keeper, "LOOK_SECONDS", 0.05)
    stored, keep, seen = keeper.Keeper._stored, shop.jobs.keep, []

    def finishing(self: keeper.Keeper) -> list[Kept]:
        found: dict[str, Any] = {"folder": JobDir(self._folder.parents[1])}
        exec(f"{LEAVE}\nleave(0)", found)
        return stored(self)

    def keeping(id: str, *rest: Any) -> object:
        seen.append(shop.jobs.get(id).kept_steps)
        return keep(id, *rest)

    monkeypatch.setattr(keeper.Keeper, "_stored", finishing)
    monkeypatch.setattr(shop.jobs, "keep", keeping)
    do("checkpoint(1)\nimport os, time; time.sleep(0.8); os.kill(os.getpid(), 9)", recipe=TWO, keep_steps=True)
    assert seen == [(0,)]


@pytest.mark.parametrize(
    "left",
    [
        "leave(0, step=2)",
        "leave(0, phase=1)",
        "leave(0, graph='graph-1.pt2')",
        "leave(0, training='training-0.pt')",
        "leave(0); (folder.steps / 'position-0.json').write_text('{')",
        "leave(0); (folder.steps / 'graph-0.pt2').unlink()",
        "leave(0); (folder.steps / 'graph-0.pt2').unlink(); (folder.steps / 'graph-0.pt2').symlink_to('/etc/passwd')",
        "leave(0); (folder.steps / 'step-0.onnx').unlink(); (folder.steps / 'step-0.onnx').mkdir()",
        "leave(0); other = folder.steps.rename(folder.out / 'other'); folder.steps.symlink_to(other)",
        "leave(2)",
    ],
)
def test_what_is_no_step_is_not_kept_and_the_job_goes_on(submit: Do, place: Workplace, shop: Shop, left: str) -> None:
    """Without a sandbox, which would not let the job make all of these."""
    free = replace(place, options=place.options.model_copy(update={"sandbox": "off"}))
    job = submit(f"{LEAVE}\n{left}\nsucceed()", recipe=TWO, keep_steps=True)
    supervise.run(free, job.id)
    job = shop.jobs.get(job.id)
    assert (job.status, job.kept_steps) == ("succeeded", ()) and kept(shop, job) == {}


def test_a_fork_finds_the_steps_before_it_in_its_folder(do: Do, place: Workplace, shop: Shop) -> None:
    listed = "events.emit('warning', str(sorted(path.name for path in folder.checkpoint.iterdir())) if "
    listed += "folder.checkpoint.exists() else 'none')"
    tell = "events.emit('warning', str(folder.read().forked_from and folder.read().forked_from.step))"
    forked = "succeed(forked_from=folder.read().forked_from)"
    first = do(f"{LEAVE}\n{listed}\n{tell}\nleave(0)\n{forked}", recipe=TWO, keep_steps=True)
    assert first.status == "succeeded"
    fork = shop.jobs.submit(first.spec, origin=lineage.Origin(first.id, 1))  # type: ignore[arg-type]
    supervise.run(place, fork.id)
    said = [event.message for event in shop.jobs.events(fork.id) if event.type == "warning"]
    assert said == ["['graph-0.pt2', 'position.json', 'step-0.onnx']", "1"]
    assert shop.jobs.get(fork.id).status == "succeeded"


def test_a_report_that_names_another_origin_is_refused(do: Do, place: Workplace, shop: Shop) -> None:
    first = do(f"{LEAVE}\nleave(0)\nsucceed()", recipe=TWO, keep_steps=True)
    fork = shop.jobs.submit(first.spec, origin=lineage.Origin(first.id, 1))  # type: ignore[arg-type]
    supervise.run(place, fork.id)
    failed = shop.jobs.get(fork.id)
    assert failed.error is not None and failed.error.code == "engine_fault"
    assert "another origin" in failed.error.detail
