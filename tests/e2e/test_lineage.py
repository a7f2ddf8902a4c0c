"""A job is replayed and forked through the whole service: queue, worker, sandbox and real engine."""

from pith.artifact import Artifact
from pith.client import Pith
from pith.fork import ForkSpec
from pith.job import Job
from tests.e2e.conftest import Submit

RECIPE = (
    {"kind": "prune.channel", "pruning_ratio": 0.5, "round_to": 4, "recovery": {"epochs": 1}},
    {"kind": "quantize.static"},
)


def models(pith: Pith, job: Job) -> dict[str, str]:
    found: tuple[Artifact, ...] = pith.jobs.artifacts(job.id)
    return {one.name: one.digest for one in found if one.kind == "model"}


def test_a_job_is_forked_after_its_deletion_and_replayed_byte_for_byte(pith: Pith, submit: Submit) -> None:
    first = pith.jobs.wait(submit(*RECIPE, keep_steps=True).id)
    assert first.status == "succeeded" and first.kept_steps == (0,)
    replay = pith.jobs.wait(pith.jobs.replay(first.id).id)
    compared = pith.jobs.report(replay.id).replay
    assert compared is not None and compared.verdict == f"The same as {first.id}, byte for byte."
    assert f"A replay of {first.id}".encode() in pith.jobs.report_html(replay.id)
    made = models(pith, first)
    assert models(pith, replay) == made
    fork = pith.jobs.fork(first.id, ForkSpec(from_step=1))
    pith.jobs.delete(first.id)
    fork = pith.jobs.wait(fork.id)
    assert fork.status == "succeeded" and models(pith, fork) == made
    report = pith.jobs.report(fork.id)
    assert report.forked_from is not None and report.forked_from.job == first.id
    assert [step.taken_from for step in report.steps] == [first.id, None]
    assert [event.step for event in pith.jobs.events(fork.id) if event.type == "step_started"] == [1]
