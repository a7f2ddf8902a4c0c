"""Projects share nothing, and their quotas hold also when two come at once."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pith.access import DEFAULT_PROJECT, NewKey, NewProject, ProjectChange, Quotas
from pith.errors import PithError
from pith.job import Job
from pith.resources import Model
from store.access import Keys, Projects
from store.attempts import Claim
from store.database import Database
from store.jobs import Jobs
from store.resources import datasets, models
from store.uploads import open_uploads
from tests.store.shop import Shop

Make = Callable[..., Shop]


@pytest.fixture
def projects(db: Database) -> Projects:
    return Projects(db)


@pytest.fixture
def within(shop: Shop, projects: Projects) -> Make:
    """The shop as a new project with these quotas sees it."""

    def make(**quotas: int) -> Shop:
        id = projects.create(NewProject(name="p", quotas=Quotas(**quotas))).id
        db, blobs = shop.db, shop.blobs
        return Shop(db, blobs, models(db, blobs, id), datasets(db, blobs, id), Jobs(db, project=id))

    return make


def test_no_project_sees_what_another_has(within: Make, shop: Shop) -> None:
    mine, theirs = within(), within()
    model, dataset = mine.model(), mine.dataset()
    job = mine.jobs.submit(mine.spec(model=model.id))
    assert [one.id for one in mine.jobs.list().data] == [job.id] and theirs.jobs.list().data == ()
    assert theirs.models.list().data == () and theirs.datasets.list().data == ()
    for look in (
        lambda: theirs.models.get(model.id),
        lambda: theirs.models.delete(model.id),
        lambda: theirs.models.check(model.id),
        lambda: theirs.datasets.preview(dataset.id),
        lambda: theirs.jobs.get(job.id),
        lambda: theirs.jobs.events(job.id),
        lambda: theirs.jobs.cancel(job.id),
        lambda: theirs.jobs.pause(job.id),
        lambda: theirs.jobs.resume(job.id),
        lambda: theirs.jobs.artifacts(job.id),
        lambda: theirs.jobs.delete(job.id, shop.blobs),
        lambda: theirs.jobs.submit(theirs.spec(model=model.id)),
    ):
        with pytest.raises(PithError, match="not_found"):
            look()
    # who works for all of them sees all
    assert shop.jobs.get(job.id).id == job.id and shop.models.get(model.id).status == "ready"


def test_what_comes_without_a_project_is_in_the_default_one(shop: Shop, projects: Projects) -> None:
    model = shop.model()
    db, blobs = shop.db, shop.blobs
    assert models(db, blobs, DEFAULT_PROJECT).get(model.id).id == model.id
    assert projects.get(DEFAULT_PROJECT).name == "default"
    assert projects.usage(DEFAULT_PROJECT).storage_bytes == model.size_bytes


def test_storage_is_counted_of_all_that_is_stored(within: Make, projects: Projects) -> None:
    shop = within(storage_bytes=100)
    model = shop.model(b"m" * 40)
    shop.dataset(b"d" * 30)
    project = shop.models._project
    assert project is not None and projects.usage(project).storage_bytes == 70
    with pytest.raises(PithError, match="quota_exceeded: The project may have 100 bytes of storage and would have 101"):
        shop.unchecked_model(b"x" * 31)
    assert list(shop.blobs.older_than(-60)) != []
    assert projects.usage(project).storage_bytes == 70
    uploads = open_uploads(shop.db, shop.blobs, 60, project)
    upload = uploads.create("model", "m", 30, None, None)
    with pytest.raises(PithError, match="quota_exceeded"):
        uploads.create("model", "m", 1, None, None)
    uploads.delete(upload.id)
    shop.models.delete(model.id)
    shop.unchecked_model(b"x" * 70)


def test_a_refused_file_leaves_no_blob(within: Make) -> None:
    shop = within(storage_bytes=5)
    with pytest.raises(PithError, match="quota_exceeded"):
        shop.unchecked_model(b"six by")
    assert list(shop.blobs.older_than(-60)) == []
    assert shop.models.list().data == () and shop.jobs.list(kind="intake").data == ()


def at_once(count: int, act: Callable[[], object]) -> list[object]:
    """What came of it, done by so many threads together."""
    gate = threading.Barrier(count)

    def one() -> object:
        gate.wait()
        try:
            return act()
        except PithError as error:
            return error.code

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(one) for _ in range(count)]]


def test_two_that_come_at_once_do_not_both_take_the_last_place(within: Make) -> None:
    shop = within(storage_bytes=10, jobs_unfinished=1)
    blob = shop.blob(b"sixsix")
    made = at_once(6, lambda: shop.models.create("m", *blob))
    assert sorted(type(one) is Model for one in made) == [False] * 5 + [True]
    assert set(made) - {one for one in made if isinstance(one, Model)} == {"quota_exceeded"}
    spec = shop.spec(model=next(one.id for one in made if isinstance(one, Model)))
    queued = at_once(6, lambda: shop.jobs.submit(spec))
    assert [type(one) is Job for one in queued].count(True) == 1


@pytest.fixture
def three(within: Make) -> Iterator[tuple[Shop, list[str]]]:
    """Three jobs of a project that may run one at once."""
    shop = within(jobs_at_once=1)
    model = shop.model()
    yield shop, [shop.jobs.submit(shop.spec(model=model.id)).id for _ in range(3)]


def test_a_project_runs_no_more_jobs_than_it_may(three: tuple[Shop, list[str]], shop: Shop) -> None:
    _, jobs = three
    claims = at_once(6, lambda: next((c for c in (shop.jobs.claim(id, "w", 60) for id in jobs) if c), None))
    held = [claim.job.id for claim in claims if isinstance(claim, Claim)]
    assert len(held) == 1 and claims.count(None) == 5
    assert shop.jobs.due() == () and shop.jobs.sendable(jobs[2]) is None
    other = shop.job()  # of another project: nothing holds it back
    assert shop.jobs.due() == (other.id,)
    assert shop.jobs.fail(held[0], 1, PithError("worker_lost", attempts=1).problem)
    assert {*shop.jobs.due()} == {other.id, *jobs} - {*held}


def test_a_message_that_came_too_early_is_sent_again_when_there_is_room(
    three: tuple[Shop, list[str]], shop: Shop
) -> None:
    _, jobs = three
    for id in jobs:
        shop.jobs.mark_dispatched(id)
    assert shop.jobs.claim(jobs[0], "w", 60) is not None
    assert shop.jobs.claim(jobs[1], "w", 60) is None
    assert shop.jobs.due() == ()
    assert shop.jobs.fail(jobs[0], 1, PithError("worker_lost", attempts=1).problem)
    assert shop.jobs.due() == (jobs[1],)  # jobs[2]'s message is still on its way
    assert shop.jobs.claim(jobs[1], "w", 60) is not None


def test_checks_of_uploads_are_not_held_back(within: Make) -> None:
    shop = within(jobs_at_once=0)
    assert shop.model().status == "ready"
    job = shop.jobs.submit(shop.spec(model=shop.model(b"other").id))
    assert shop.jobs.claim(job.id, "w", 60) is None


def test_quotas_are_changed_and_taken_away(projects: Projects) -> None:
    project = projects.create(NewProject(name="a", quotas=Quotas(jobs_at_once=1, storage_bytes=5)))
    assert projects.change(project.id, ProjectChange(quotas=Quotas(jobs_at_once=3))).quotas == Quotas(jobs_at_once=3)
    assert projects.change(project.id, ProjectChange(name="b")).quotas == Quotas(jobs_at_once=3)
    assert projects.get(project.id).name == "b"
    with pytest.raises(PithError, match="not_found"):
        projects.change("prj_" + "1" * 26, ProjectChange(name="b"))


def test_a_key_is_known_by_its_whole_secret(db: Database) -> None:
    keys = Keys(db)
    assert not keys.any()
    made = keys.create(NewKey(name="k", scopes=("jobs", "upload")))
    assert made.secret is not None and made.begins == made.secret[:13] and made.scopes == ("upload", "jobs")
    caller = keys.identify(made.secret)
    assert (caller.key, caller.project, caller.scopes) == (made.id, DEFAULT_PROJECT, {"jobs", "upload"})
    for wrong in (made.secret[:-1], made.secret + "x", made.begins, "", "\0", "é" * 20, made.secret.upper()):
        with pytest.raises(PithError, match="key_refused"):
            keys.identify(wrong)
    assert keys.any()
    keys.revoke(made.id)
    assert not keys.any()
    with pytest.raises(PithError, match="revoked"):
        keys.identify(made.secret)
    assert keys.revoke(made.id).revoked_at is not None


def test_keys_come_in_pages(db: Database) -> None:
    keys = Keys(db)
    made = [keys.create(NewKey(name=str(n))).id for n in range(5)]
    page = keys.list(limit=3)
    rest = keys.list(limit=3, cursor=page.next_cursor)
    assert sorted(key.id for key in (*page.data, *rest.data)) == sorted(made) and rest.next_cursor is None
    with pytest.raises(PithError, match="bad_cursor"):
        keys.list(cursor="nonsense")
