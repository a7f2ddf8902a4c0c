import re

import pytest

from pith.errors import PithError
from pith.job import EngineEvent, Job, Progress
from store.attempts import NewArtifact
from store.inputs import Input, Inputs
from store.tables import JobRow, ModelRow
from tests.store.shop import Shop, digest


def kinds(shop: Shop, job: Job) -> list[str]:
    return [event.type for event in shop.jobs.events(job.id)]


def artifact(shop: Shop, name: str = "model.onnx") -> NewArtifact:
    return NewArtifact("model", name, "onnx", *shop.blob(b"result"))


def test_a_submitted_job_is_queued_with_its_spec_and_first_event(shop: Shop) -> None:
    spec = shop.spec(seed=2**63 - 1, dataset=shop.dataset().id, constraints={"max_metric_drop": 1e-7})
    job = shop.jobs.submit(spec)
    assert shop.jobs.get(job.id) == job
    assert (job.status, job.spec, job.attempt, job.started_at) == ("queued", spec, 0, None)
    (event,) = shop.jobs.events(job.id)
    assert (event.seq, event.type, event.at) == (1, "queued", event.at)


@pytest.mark.parametrize("missing", ["model", "dataset", "teacher"])
def test_a_spec_that_names_what_is_not_there_is_not_found(shop: Shop, missing: str) -> None:
    names = {
        "model": shop.model().id,
        "dataset": shop.dataset().id,
        "teacher": shop.model().id,
        missing: ("dts_" if missing == "dataset" else "mdl_") + "0" * 26,
    }
    recipe = [{"kind": "distill.logits", "teacher": names.pop("teacher")}]
    with pytest.raises(PithError, match="not_found"):
        shop.job(**names, recipe=recipe)
    assert shop.jobs.list().data == ()


def test_a_spec_that_makes_no_sense_is_refused(shop: Shop) -> None:
    with pytest.raises(PithError, match="dataset_required"):
        shop.job(recipe=[{"kind": "finetune.full"}])


def test_a_claimed_job_is_running_and_says_where_its_bytes_are(shop: Shop) -> None:
    model, teacher, dataset = shop.model(b"m"), shop.model(b"t"), shop.dataset(b"d")
    recipe = [{"kind": "distill.logits", "teacher": teacher.id}]
    job = shop.job(model=model.id, dataset=dataset.id, recipe=recipe)
    claim = shop.jobs.claim(job.id, "worker", 60)
    assert claim is not None
    assert isinstance(claim.inputs, Inputs) and claim.inputs.dataset is not None
    assert (claim.attempt, claim.inputs.model.digest) == (1, digest(b"m"))
    assert claim.inputs.dataset.parts == {"dataset.arrow": digest(b"d")}
    assert claim.inputs.others == {teacher.id: Input(digest(b"t"), {"model.pt2": digest(b"t")}, 1)}
    assert claim.inputs.model.size_bytes == 1
    assert claim.inputs.asked.model == model.facts and claim.inputs.asked.data == dataset.facts
    assert claim.inputs.asked.others == {teacher.id: teacher.facts} and not claim.inputs.asked.datasets
    assert claim.job == shop.jobs.get(job.id)
    assert (claim.job.status, claim.job.attempt) == ("running", 1)
    assert claim.job.started_at is not None
    assert shop.jobs.events(job.id, after=1)[0].data == {"attempt": 1, "worker": "worker"}


def test_a_job_is_claimed_once(shop: Shop) -> None:
    job = shop.job()
    assert shop.jobs.claim(job.id, "first", 60) is not None
    assert shop.jobs.claim(job.id, "second", 60) is None
    assert shop.jobs.claim("job_" + "0" * 26, "second", 60) is None


def test_a_job_whose_model_row_is_gone_fails_instead_of_coming_back_for_ever(shop: Shop) -> None:
    job = shop.job()
    with shop.db.session() as session:
        session.delete(session.get_one(ModelRow, job.spec.model))
    assert shop.jobs.claim(job.id, "worker", 60) is None
    failed = shop.jobs.get(job.id)
    assert (failed.status, failed.error and failed.error.code) == ("failed", "not_found")


def test_success_keeps_artifacts_and_verdict(shop: Shop) -> None:
    job = shop.job()
    shop.jobs.claim(job.id, "w", 60)
    assert shop.jobs.succeed(job.id, 1, [artifact(shop), artifact(shop, "report.json")], "met")
    done = shop.jobs.get(job.id)
    assert (done.status, done.verdict, done.progress.fraction) == ("succeeded", "met", 1)
    assert done.finished_at is not None
    assert [found.name for found in done.artifacts] == ["model.onnx", "report.json"]
    assert shop.jobs.artifacts(job.id) == done.artifacts
    assert shop.jobs.artifact(job.id, "model.onnx").digest == digest(b"result")
    assert shop.jobs.list().data[0] == done
    with pytest.raises(PithError, match=f"There is no artifact 'x'.*/v1/jobs/{job.id}/artifacts"):
        shop.jobs.artifact(job.id, "x")


def test_success_with_an_impossible_artifact_writes_nothing(shop: Shop) -> None:
    job = shop.job()
    shop.jobs.claim(job.id, "w", 60)
    with pytest.raises(ValueError, match="name"):
        shop.jobs.succeed(job.id, 1, [artifact(shop), artifact(shop, "../etc")], "met")
    assert (shop.jobs.get(job.id).status, shop.jobs.artifacts(job.id)) == ("running", ())


def test_results_keep_their_bytes_when_the_model_with_the_same_bytes_is_deleted(shop: Shop) -> None:
    job = shop.job()
    shop.jobs.claim(job.id, "w", 60)
    shop.jobs.succeed(job.id, 1, [NewArtifact("model", "m", "pt2", *shop.blob(b"model"))], "unconstrained")
    shop.blobs.settle(digest(b"model"))
    shop.models.delete(job.spec.model)
    assert shop.blobs.size(digest(b"model")) == 5


def test_failure_keeps_the_reason(shop: Shop) -> None:
    job = shop.job()
    shop.jobs.claim(job.id, "w", 60)
    problem = PithError("engine_timeout", limit=5, setting="PITH_JOB_TIME_SECONDS").problem
    assert shop.jobs.fail(job.id, 1, problem)
    failed = shop.jobs.get(job.id)
    assert (failed.status, failed.error) == ("failed", problem)
    assert shop.jobs.events(job.id)[-1].message == problem.detail


def test_a_queued_job_is_cancelled_at_once(shop: Shop) -> None:
    job = shop.job()
    assert shop.jobs.cancel(job.id).status == "cancelled"
    assert shop.jobs.cancel(job.id).status == "cancelled"
    assert shop.jobs.claim(job.id, "w", 60) is None
    assert kinds(shop, job) == ["queued", "cancelled"]
    assert shop.jobs.get(job.id).finished_at is not None


def test_a_running_job_is_cancelled_by_its_worker(shop: Shop) -> None:
    job = shop.job()
    shop.jobs.claim(job.id, "w", 60)
    assert not shop.jobs.cancelled(job.id, 1), "nobody has asked for it"
    assert shop.jobs.cancel(job.id).status == "cancelling"
    assert shop.jobs.cancel(job.id).status == "cancelling"
    assert shop.jobs.beat(job.id, 1, 60) == "cancelling"
    assert shop.jobs.record(job.id, 1, [shop.event()]) == "cancelling"
    assert shop.jobs.cancelled(job.id, 1)
    assert kinds(shop, job) == ["queued", "started", "cancelling", "progress", "cancelled"]


def test_a_job_that_ended_before_it_heard_of_the_cancel_keeps_its_result(shop: Shop) -> None:
    job = shop.job()
    shop.jobs.claim(job.id, "w", 60)
    shop.jobs.cancel(job.id)
    assert shop.jobs.succeed(job.id, 1, [], "met")
    with pytest.raises(PithError, match=f"{job.id}' is already succeeded; nothing more can be done"):
        shop.jobs.cancel(job.id)


def test_a_job_given_back_is_queued_again_and_not_charged(shop: Shop) -> None:
    job = shop.job()
    for attempt in range(1, 6):
        claim = shop.jobs.claim(job.id, "w", 60)
        assert claim is not None
        assert claim.attempt == attempt
        shop.jobs.record(job.id, attempt, [], Progress(fraction=0.5))
        assert shop.jobs.give_back(job.id, attempt)
        assert (shop.jobs.get(job.id).status, shop.jobs.get(job.id).progress) == ("queued", Progress())
        assert shop.jobs.due() == (job.id,)
    assert shop.jobs.claim(job.id, "w", -1) is not None
    assert shop.jobs.reap() == (job.id,)
    assert shop.jobs.get(job.id).status == "queued"


def test_a_cancelling_job_given_back_is_cancelled(shop: Shop) -> None:
    job = shop.job()
    shop.jobs.claim(job.id, "w", 60)
    shop.jobs.cancel(job.id)
    assert shop.jobs.give_back(job.id, 1)
    assert shop.jobs.get(job.id).status == "cancelled"


def test_an_attempt_that_is_over_writes_nothing(shop: Shop) -> None:
    job = shop.job()
    shop.jobs.claim(job.id, "slow", -1)
    shop.jobs.reap()

    def everything_is_refused() -> None:
        before = shop.jobs.get(job.id), shop.jobs.events(job.id)
        assert shop.jobs.beat(job.id, 1, 60) == "fenced"
        assert shop.jobs.record(job.id, 1, [shop.event()], Progress(fraction=0.9)) == "fenced"
        assert not shop.jobs.succeed(job.id, 1, [artifact(shop)], "met")
        assert not shop.jobs.fail(job.id, 1, PithError("unavailable", what="x").problem)
        assert not shop.jobs.cancelled(job.id, 1)
        assert not shop.jobs.give_back(job.id, 1)
        assert before == (shop.jobs.get(job.id), shop.jobs.events(job.id))

    everything_is_refused()
    shop.jobs.claim(job.id, "quick", 60)
    everything_is_refused()
    shop.jobs.succeed(job.id, 2, [], "met")
    everything_is_refused()


def test_a_live_lease_is_not_reaped_and_a_beat_keeps_it_alive(shop: Shop) -> None:
    job = shop.job()
    shop.jobs.claim(job.id, "w", 60)
    assert shop.jobs.reap() == ()
    shop.jobs.beat(job.id, 1, -1)
    assert shop.jobs.beat(job.id, 1, 60) == "running", "late, but nobody else has the job"
    assert shop.jobs.reap() == ()
    assert shop.jobs.get(job.id).status == "running"


def test_a_lost_job_is_tried_again_and_then_fails(shop: Shop) -> None:
    job = shop.job()
    for _ in range(3):
        shop.jobs.claim(job.id, "w7", -1)
        assert shop.jobs.reap() == (job.id,)
        assert shop.jobs.reap() == ()
    failed = shop.jobs.get(job.id)
    assert failed.error is not None
    assert (failed.status, failed.attempt, failed.error.code) == ("failed", 3, "worker_lost")
    assert failed.error.detail.startswith("3 workers were lost")
    assert kinds(shop, job) == ["queued", "started", "requeued", "started", "requeued", "started", "failed"]
    assert "The worker w7 was lost: its lease ran out" in shop.jobs.events(job.id)[2].message


def test_a_lost_job_that_was_to_be_cancelled_is_cancelled(shop: Shop) -> None:
    job = shop.job()
    shop.jobs.claim(job.id, "w", -1)
    shop.jobs.cancel(job.id)
    assert shop.jobs.reap() == (job.id,)
    assert shop.jobs.get(job.id).status == "cancelled"


def test_the_outbox_holds_a_job_until_it_is_marked(shop: Shop) -> None:
    jobs = [shop.job().id for _ in range(3)]
    assert shop.jobs.due() == tuple(sorted(jobs))
    assert shop.jobs.due(limit=1) == tuple(sorted(jobs))[:1]
    shop.jobs.mark_dispatched(jobs[0])
    assert shop.jobs.due() == tuple(sorted(jobs[1:]))
    assert shop.jobs.overdue(60) == ()
    assert shop.jobs.overdue(-1) == (jobs[0],)
    shop.jobs.claim(jobs[0], "w", 60)
    shop.jobs.mark_dispatched(jobs[0])
    assert shop.jobs.overdue(-1) == ()


def test_jobs_are_listed_newest_first_and_by_status(shop: Shop) -> None:
    jobs = [shop.job().id for _ in range(4)]
    shop.jobs.cancel(jobs[0])
    first = shop.jobs.list(limit=2)
    assert [job.id for job in first.data] == sorted(jobs, reverse=True)[:2]
    assert [job.id for job in shop.jobs.list(2, first.next_cursor).data] == sorted(jobs, reverse=True)[2:]
    assert [job.id for job in shop.jobs.list(status="cancelled").data] == [jobs[0]]
    with pytest.raises(PithError, match=re.escape("'mdl_' is no cursor")):
        shop.jobs.list(cursor="mdl_")


@pytest.mark.parametrize("id", ["job_" + "0" * 26, "", "job_\x00", "mdl_" + "0" * 26])
def test_a_job_that_does_not_exist_is_not_found(shop: Shop, id: str) -> None:
    for use in (shop.jobs.get, shop.jobs.cancel, shop.jobs.events, shop.jobs.artifacts):
        with pytest.raises(PithError, match="list what there is at /v1/jobs"):
            use(id)


def test_events_are_read_from_where_one_left_off(shop: Shop) -> None:
    job = shop.job()
    shop.jobs.claim(job.id, "w", 60)
    shop.jobs.record(job.id, 1, [shop.event(message=f"{number}") for number in range(5)])
    assert [event.seq for event in shop.jobs.events(job.id, after=3, limit=2)] == [4, 5]
    assert shop.jobs.events(job.id, after=7) == ()
    assert shop.jobs.events(job.id, after=2**70) == ()


def test_progress_is_what_was_recorded_last(shop: Shop) -> None:
    job = shop.job()
    shop.jobs.claim(job.id, "w", 60)
    progress = Progress(fraction=0.25, step=1, message="epoch 2")
    assert shop.jobs.record(job.id, 1, [], progress) == "running"
    assert shop.jobs.get(job.id).progress == progress
    assert shop.jobs.record(job.id, 1, [shop.event()]) == "running"
    assert shop.jobs.get(job.id).progress == progress


def test_what_is_new_of_several_jobs_is_read_at_once(shop: Shop) -> None:
    jobs = [shop.job() for _ in range(3)]
    for job in jobs[:2]:
        claim = shop.jobs.claim(job.id, "ada", 600)
        assert claim is not None
    [quiet, told, fresh] = (job.id for job in jobs)
    found = shop.jobs.news({quiet: 2, told: 1, fresh: 0, "job_nobody": 0})
    assert {id: [event.type for event in events] for id, events in found.items()} == {
        told: ["started"],
        fresh: ["queued"],
    }
    assert [event.seq for event in shop.jobs.news({told: 0}, limit=1)[told]] == [1]


def test_an_engine_event_comes_back_as_it_was(shop: Shop) -> None:
    job = shop.job()
    shop.jobs.claim(job.id, "w", 60)
    event = shop.event(type="metric", message="größer", step=3, data={"a": [1, 0.1, None, True, {"b": "c"}]})
    shop.jobs.record(job.id, 1, [event])
    assert EngineEvent(**shop.jobs.events(job.id)[-1].model_dump(exclude={"seq"})) == event


def test_a_lease_ends_with_the_attempt(shop: Shop) -> None:
    ended, given_back = shop.job().id, shop.job().id
    for job in (ended, given_back):
        shop.jobs.claim(job, "w", 60)
    shop.jobs.succeed(ended, 1, [], "met")
    shop.jobs.give_back(given_back, 1)
    with shop.db.reader() as session:
        rows = [session.get_one(JobRow, job) for job in (ended, given_back)]
    assert [(row.lease_owner, row.lease_expires_at) for row in rows] == [(None, None)] * 2
