"""An upload and its check: they move together, on every database, whoever else does something at the same moment."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import func, select, text

from pith.dataset import DatasetSchema
from pith.errors import PithError
from pith.ids import new_id
from pith.intake import Architecture, IntakeSpec
from pith.job import Job
from pith.resources import Model
from store.database import Database
from store.inputs import Input, Inputs, Upload
from store.migrate import configuration
from store.references import is_referred
from store.tables import PartRow
from tests.store.shop import DATASET_FACTS, PREVIEW, PRUNE, Shop, digest

FRESH = Architecture(name="pith/lenet5", arguments={"num_classes": 4})
PROBLEM = PithError("model_pickled", found="os.system").problem


def fail(shop: Shop, check: str) -> None:
    claim = shop.jobs.claim(check, "checker", 60)
    assert claim is not None
    assert shop.jobs.fail(check, claim.attempt, PROBLEM)


def parts_of(shop: Shop, id: str) -> int:
    with shop.db.reader() as session:
        count = select(func.count()).select_from(PartRow).where(PartRow.resource_id == id)
        return session.execute(count).scalar_one()


def waiting_job(shop: Shop, model: Model) -> Job:
    return shop.jobs.submit(shop.spec(model=model.id))


# ---- a check and what it leaves


def test_an_upload_is_being_checked_by_a_queued_job_that_lists_leave_out(shop: Shop) -> None:
    model = shop.unchecked_model()
    check = shop.jobs.get(model.check)
    assert (model.status, model.facts, model.error) == ("checking", None, None)
    assert (check.status, check.spec) == ("queued", IntakeSpec(check=model.id))
    assert shop.jobs.list().data == ()
    assert [job.id for job in shop.jobs.list(kind="intake").data] == [model.check]
    assert [job.id for job in shop.jobs.list(kind=None).data] == [model.check]


def test_a_check_is_told_what_came_with_the_upload(shop: Shop) -> None:
    schema = DatasetSchema(label="y", classes=("no", "yes"))
    dataset = shop.datasets.create("table.csv", *shop.blob(b"x,y"), schema)
    assert dataset.declared == schema == shop.datasets.get(dataset.id).declared
    claim = shop.jobs.claim(dataset.check, "checker", 60)
    assert claim is not None
    assert claim.inputs == Upload("dataset", "table.csv", digest(b"x,y"), None, schema)
    assert shop.datasets.list(status="checking").data == (dataset,)


def test_what_a_check_has_learnt_is_on_the_model_and_short_in_lists(shop: Shop) -> None:
    model = shop.unchecked_model(b"weights")
    shop.learn(model.check, b"canonical", b"words")
    ready = shop.models.get(model.id)
    assert ready.status == "ready" and ready.facts is not None
    assert [layer.name for layer in ready.facts.layers] == ["fc"]
    (listed,) = shop.models.list(status="ready").data
    assert listed.facts == ready.facts.model_copy(update={"layers": (), "hints": ()})
    assert shop.models.list(status="checking").data == ()
    claim = shop.jobs.claim(waiting_job(shop, model).id, "worker", 60)
    assert claim is not None and isinstance(claim.inputs, Inputs)
    parts = {"model.pt2": digest(b"canonical"), "tokenizer.json": digest(b"words")}
    assert claim.inputs.model == Input(digest(b"weights"), parts, 7)
    assert shop.jobs.get(model.check).status == "succeeded"


def test_a_dataset_has_a_preview_once_it_is_ready(shop: Shop) -> None:
    dataset = shop.unchecked_dataset()
    with pytest.raises(PithError, match="is checking, so it has no preview yet"):
        shop.datasets.preview(dataset.id)
    shop.learn(dataset.check, b"rows", b"schema")
    assert shop.datasets.preview(dataset.id).model_dump(mode="json") == PREVIEW
    facts = shop.datasets.get(dataset.id).facts
    assert facts is not None and facts.format == DATASET_FACTS["format"]


def test_an_architecture_needs_no_file(shop: Shop) -> None:
    model = shop.models.create("lenet5", None, 0, FRESH)
    assert (model.digest, model.size_bytes, model.architecture) == (None, 0, FRESH)
    claim = shop.jobs.claim(model.check, "checker", 60)
    assert claim is not None and claim.inputs == Upload("model", "lenet5", None, FRESH, None)
    assert shop.jobs.learn(model.check, 1, shop.learnt(claim, b"fresh"))
    job = shop.jobs.claim(waiting_job(shop, model).id, "worker", 60)
    assert job is not None and isinstance(job.inputs, Inputs)
    assert job.inputs.model.digest == digest(b"fresh"), "it is known by its canonical form"
    shop.jobs.fail(job.job.id, 1, PROBLEM)
    shop.models.delete(model.id)
    assert not is_referred(shop.db, digest(b"fresh"))


# ---- how a check ends badly


def test_a_check_that_fails_rejects_with_its_reason(shop: Shop) -> None:
    model = shop.unchecked_model()
    fail(shop, model.check)
    rejected = shop.models.get(model.id)
    assert (rejected.status, rejected.error) == ("rejected", PROBLEM)


@pytest.mark.parametrize("running", [False, True])
def test_a_check_that_is_cancelled_rejects_and_says_how_to_check_again(shop: Shop, running: bool) -> None:
    model = shop.unchecked_model()
    if running:
        assert shop.jobs.claim(model.check, "checker", 60) is not None
    shop.jobs.cancel(model.check)
    if running:
        assert shop.models.get(model.id).status == "checking"
        assert shop.jobs.cancelled(model.check, 1)
    rejected = shop.models.get(model.id)
    assert rejected.status == "rejected" and rejected.error is not None
    assert rejected.error.code == "check_cancelled"
    assert f"POST /v1/models/{model.id}/check" in rejected.error.detail


def test_a_check_that_loses_every_worker_rejects(shop: Shop) -> None:
    model = shop.unchecked_model()
    for _ in range(3):
        assert shop.jobs.claim(model.check, "checker", -1) is not None
        assert shop.jobs.reap() == (model.check,)
    error = shop.models.get(model.id).error
    assert error is not None and error.code == "worker_lost"


def test_a_checker_that_was_lost_writes_nothing_and_another_takes_over(shop: Shop) -> None:
    model = shop.unchecked_model()
    first = shop.jobs.claim(model.check, "first", -1)
    assert first is not None
    assert shop.jobs.reap() == (model.check,)
    assert shop.jobs.due() == (model.check,)
    second = shop.jobs.claim(model.check, "second", 60)
    assert second is not None and second.attempt == 2
    assert not shop.jobs.learn(model.check, first.attempt, shop.learnt(first, b"stale"))
    assert not shop.jobs.fail(model.check, first.attempt, PROBLEM)
    assert (shop.models.get(model.id).status, parts_of(shop, model.id)) == ("checking", 0)
    assert shop.jobs.learn(model.check, second.attempt, shop.learnt(second, b"fresh"))
    assert (shop.models.get(model.id).status, parts_of(shop, model.id)) == ("ready", 1)


# ---- jobs that wait


def test_a_job_waits_for_all_that_it_names(shop: Shop) -> None:
    model, teacher, dataset = shop.unchecked_model(b"m"), shop.unchecked_model(b"t"), shop.unchecked_dataset()
    distill = {"kind": "distill.logits", "teacher": teacher.id}
    job = shop.job(model=model.id, dataset=dataset.id, recipe=[distill])
    checks = [model.check, teacher.check, dataset.check]
    (queued,) = shop.jobs.events(job.id)
    assert all(id in queued.message for id in (model.id, teacher.id, dataset.id))
    for done, check in enumerate(checks):
        assert list(shop.jobs.due()) == checks[done:]
        assert shop.jobs.sendable(job.id) is None
        assert shop.jobs.claim(job.id, "worker", 60) is None
        shop.learn(check, b"a", b"b")
    assert shop.jobs.due() == (job.id,)
    assert shop.jobs.sendable(job.id) == ("compression", 0)
    assert shop.jobs.claim(job.id, "worker", 60) is not None


def test_a_job_whose_message_came_too_early_is_not_lost(shop: Shop) -> None:
    model = shop.unchecked_model()
    job = waiting_job(shop, model)
    shop.jobs.mark_dispatched(job.id)  # as if somebody had sent it
    assert shop.jobs.overdue(-1) == ()
    shop.learn(model.check, b"m")
    assert shop.jobs.overdue(-1) == (job.id,)


def test_jobs_that_wait_fail_when_an_input_is_rejected(shop: Shop) -> None:
    bad, good = shop.unchecked_model(b"bad"), shop.unchecked_model(b"good")
    waiting, other = [waiting_job(shop, bad) for _ in range(2)], waiting_job(shop, good)
    fail(shop, bad.check)
    for job in waiting:
        ended = shop.jobs.get(job.id)
        assert ended.status == "failed" and ended.error is not None and ended.finished_at is not None
        assert ended.error.code == "input_rejected"
        assert bad.id in ended.error.detail and PROBLEM.detail in ended.error.detail
        assert [event.type for event in shop.jobs.events(job.id)] == ["queued", "failed"]
    assert shop.jobs.get(other.id).status == "queued"


def test_a_job_that_waits_can_be_cancelled(shop: Shop) -> None:
    model = shop.unchecked_model()
    job = waiting_job(shop, model)
    assert shop.jobs.cancel(job.id).status == "cancelled"
    fail(shop, model.check)
    assert shop.jobs.get(job.id).status == "cancelled"


def test_a_job_that_names_something_rejected_is_refused(shop: Shop) -> None:
    model = shop.unchecked_model()
    fail(shop, model.check)
    with pytest.raises(PithError, match="input_rejected") as caught:
        waiting_job(shop, model)
    assert PROBLEM.detail in caught.value.problem.detail
    assert shop.jobs.list().data == ()


# ---- checking again


def test_a_new_check_forgets_the_one_before(shop: Shop) -> None:
    model = shop.unchecked_model()
    fail(shop, model.check)
    again = shop.models.check(model.id)
    assert (again.status, again.error) == ("checking", None)
    assert again.check != model.check
    with pytest.raises(PithError, match=f"is being checked by {again.check}"):
        shop.models.check(model.id)
    shop.learn(again.check, b"m")
    third = shop.models.check(model.id)
    assert (third.facts, parts_of(shop, model.id)) == (None, 0)
    shop.learn(third.check, b"m")
    assert shop.models.get(model.id).status == "ready"


def test_what_an_unfinished_job_names_is_not_checked_again(shop: Shop) -> None:
    model = shop.model()
    job = waiting_job(shop, model)
    with pytest.raises(PithError, match=f"is used by {job.id}"):
        shop.models.check(model.id)
    shop.jobs.cancel(job.id)
    assert shop.models.check(model.id).status == "checking"


# ---- deleting


def test_deleting_takes_the_parts_along_unless_another_has_them(shop: Shop) -> None:
    first, second = shop.unchecked_model(b"1"), shop.unchecked_model(b"2")
    shop.learn(first.check, b"shared", b"own")
    shop.learn(second.check, b"shared")
    shop.models.delete(first.id)
    assert parts_of(shop, first.id) == 0
    assert [is_referred(shop.db, digest(data)) for data in (b"1", b"own", b"shared")] == [False, False, True]
    assert not shop.blobs.delete(digest(b"shared"), lambda found: is_referred(shop.db, found))
    with pytest.raises(PithError, match="blob_missing"):
        shop.blobs.size(digest(b"own"))


def test_deleting_what_is_being_checked_cancels_the_check(shop: Shop) -> None:
    queued, running = shop.unchecked_model(b"1"), shop.unchecked_model(b"2")
    claim = shop.jobs.claim(running.check, "checker", 60)
    assert claim is not None
    found = shop.learnt(claim, b"too late")
    for model in (queued, running):
        shop.models.delete(model.id)
    assert [shop.jobs.get(model.check).status for model in (queued, running)] == ["cancelled", "cancelling"]
    assert shop.jobs.learn(running.check, 1, found), "the job may still end so; nobody gets what it found"
    assert parts_of(shop, running.id) == 0


def test_a_check_whose_upload_is_gone_fails(shop: Shop) -> None:
    model = shop.unchecked_model()
    with shop.db.session() as session:
        session.execute(text("DELETE FROM models"))
    assert shop.jobs.claim(model.check, "checker", 60) is None
    error = shop.jobs.get(model.check).error
    assert error is not None and error.code == "not_found"


# ---- at the same moment


def together(*calls: Callable[[], object]) -> list[object]:
    """What each of them gives, or the code of its error, when all begin at once."""
    barrier, outcomes = threading.Barrier(len(calls)), list[object]([None] * len(calls))

    def call(index: int) -> None:
        barrier.wait()
        try:
            outcomes[index] = calls[index]()
        except PithError as error:
            outcomes[index] = error.code

    threads = [threading.Thread(target=call, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_submitting_while_the_input_is_rejected_never_leaves_a_job_that_waits_for_ever(shop: Shop) -> None:
    for number in range(10):
        model = shop.unchecked_model(b"%d" % number)
        spec = shop.spec(model=model.id)
        claim = shop.jobs.claim(model.check, "checker", 60)
        assert claim is not None
        submitted, rejected = together(
            lambda spec=spec: shop.jobs.submit(spec),
            lambda model=model: shop.jobs.fail(model.check, 1, PROBLEM),
        )
        assert rejected is True
        if isinstance(submitted, Job):
            assert shop.jobs.get(submitted.id).status == "failed"
        else:
            assert submitted == "input_rejected"


def test_submitting_while_the_input_becomes_ready_loses_and_doubles_nothing(shop: Shop) -> None:
    for number in range(10):
        model = shop.unchecked_model(b"%d" % number)
        spec = shop.spec(model=model.id)
        claim = shop.jobs.claim(model.check, "checker", 60)
        assert claim is not None
        found = shop.learnt(claim, b"m")
        job, learnt = together(
            lambda spec=spec: shop.jobs.submit(spec),
            lambda model=model, found=found: shop.jobs.learn(model.check, 1, found),
        )
        assert learnt is True and isinstance(job, Job)
        assert shop.jobs.due() == (job.id,)
        claims = together(*[lambda job=job: shop.jobs.claim(job.id, "worker", 60)] * 3)
        assert sum(claim is not None for claim in claims) == 1


def test_the_last_two_inputs_may_become_ready_or_be_rejected_at_once(shop: Shop) -> None:
    for number in range(8):
        model, dataset = shop.unchecked_model(b"%d" % number), shop.unchecked_dataset(b"d%d" % number)
        job = shop.job(model=model.id, dataset=dataset.id)
        first, second = (shop.jobs.claim(check, "checker", 60) for check in (model.check, dataset.check))
        assert first is not None and second is not None
        found, rows = shop.learnt(first, b"m"), shop.learnt(second, b"a", b"b")
        good = number % 2 == 0
        outcomes = together(
            lambda model=model, found=found: shop.jobs.learn(model.check, 1, found),
            (lambda dataset=dataset, rows=rows: shop.jobs.learn(dataset.check, 1, rows))
            if good
            else (lambda dataset=dataset: shop.jobs.fail(dataset.check, 1, PROBLEM)),
        )
        assert outcomes == [True, True]
        assert shop.jobs.get(job.id).status == ("queued" if good else "failed")
        assert shop.jobs.due() == ((job.id,) if good else ())
        shop.jobs.claim(job.id, "worker", 60)


def test_two_rejections_at_once_end_the_same_jobs_once(shop: Shop) -> None:
    for number in range(6):
        model, dataset = shop.unchecked_model(b"%d" % number), shop.unchecked_dataset(b"d%d" % number)
        jobs = [shop.job(model=model.id, dataset=dataset.id) for _ in range(3)]
        for check in (model.check, dataset.check):
            assert shop.jobs.claim(check, "checker", 60) is not None
        outcomes = together(
            lambda model=model: shop.jobs.fail(model.check, 1, PROBLEM),
            lambda dataset=dataset: shop.jobs.fail(dataset.check, 1, PROBLEM),
        )
        assert outcomes == [True, True]
        for job in jobs:
            assert [event.type for event in shop.jobs.events(job.id)] == ["queued", "failed"]


def test_deleting_while_a_check_ends_leaves_nothing_behind(shop: Shop) -> None:
    for number in range(10):
        model = shop.unchecked_model(b"%d" % number)
        claim = shop.jobs.claim(model.check, "checker", 60)
        assert claim is not None
        found = shop.learnt(claim, b"part %d" % number)
        outcomes = together(
            lambda model=model: shop.models.delete(model.id),
            lambda model=model, found=found: shop.jobs.learn(model.check, 1, found),
        )
        assert outcomes == [None, True]
        assert parts_of(shop, model.id) == 0
        assert not is_referred(shop.db, digest(b"part %d" % number))


def test_a_job_and_a_new_check_at_once_never_both_have_the_model(shop: Shop) -> None:
    for number in range(10):
        model = shop.model(b"%d" % number)
        spec = shop.spec(model=model.id)
        job, again = together(
            lambda spec=spec: shop.jobs.submit(spec),
            lambda model=model: shop.models.check(model.id),
        )
        assert isinstance(job, Job)
        if again == "in_use":
            assert shop.jobs.sendable(job.id) == ("compression", 0)
        else:
            assert isinstance(again, Model) and shop.jobs.sendable(job.id) is None
            fail(shop, again.check)
            assert shop.jobs.get(job.id).status == "failed"


# ---- data from before


def test_what_was_uploaded_before_there_were_checks_is_checked_and_its_jobs_wait(
    empty_url: str, tmp_path: Path
) -> None:
    db = Database(empty_url)
    model, dataset, job = new_id("mdl"), new_id("dts"), new_id("job")
    with db.session() as session:
        command.upgrade(configuration(session.connection()), "0001")
        for table, id in (("models", model), ("datasets", dataset)):
            session.execute(text(f"INSERT INTO {table} VALUES ('{id}', 'old', 'sha256:{'0' * 64}', 5, 1)"))
        spec = f'{{"model": "{model}", "dataset": "{dataset}", "recipe": [{{"kind": "{PRUNE["kind"]}"}}]}}'
        columns = "id, status, spec, created_at, attempt, losses, progress, event_seq"
        values = {"spec": spec, "progress": '{"fraction": 0.0}'}
        kept = (
            ":spec, 1, 0, 0, :progress" if db.is_sqlite else "CAST(:spec AS JSONB), 1, 0, 0, CAST(:progress AS JSONB)"
        )
        session.execute(text(f"INSERT INTO jobs ({columns}) VALUES ('{job}', 'queued', {kept}, 0)"), values)
        session.execute(text(f"INSERT INTO job_inputs VALUES ('{job}', '{model}'), ('{job}', '{dataset}')"))
    with db.session() as session:
        command.upgrade(configuration(session.connection()), "0002")
    inputs = _job_inputs(db)
    assert (job, model) in inputs and len(inputs) == 4
    db.migrate()
    assert _job_inputs(db) == inputs, "no migration loses what refers to a job"
    shop = Shop.open(db, tmp_path / "blobs")
    checks = (shop.models.get(model).check, shop.datasets.get(dataset).check)
    assert set(shop.jobs.due()) == set(checks)
    assert [event.type for event in shop.jobs.events(checks[0])] == ["queued"]
    for check in checks:
        shop.learn(check, b"a", b"b")
    assert shop.models.get(model).status == "ready"
    assert shop.jobs.due() == (job,)
    assert shop.jobs.claim(job, "worker", 60) is not None
    db.close()


def _job_inputs(db: Database) -> set[tuple[str, str]]:
    with db.reader() as session:
        return {(row[0], row[1]) for row in session.execute(text("SELECT job_id, resource_id FROM job_inputs"))}
