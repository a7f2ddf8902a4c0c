import re
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from pith.errors import PithError
from store.attempts import NewArtifact
from store.blobs import LocalBlobs
from store.references import is_referred, sweep
from store.resources import models
from tests.store.shop import Shop, digest


def test_a_model_is_shown_as_it_was_created(shop: Shop) -> None:
    model = shop.model(b"weights", "ü.pt2")
    assert model == shop.models.get(model.id)
    assert (model.name, model.digest, model.size_bytes) == ("ü.pt2", digest(b"weights"), 7)
    assert model.id.startswith("mdl_")
    assert model.created_at.tzinfo is not None


def test_datasets_are_not_models(shop: Shop) -> None:
    dataset = shop.dataset()
    assert shop.datasets.get(dataset.id) == dataset
    with pytest.raises(PithError, match=r"There is no model .* list what there is at /v1/models"):
        shop.models.get(dataset.id)


@pytest.mark.parametrize("id", ["mdl_" + "0" * 26, "", "mdl_\x00", "mdl_" + "\ud800" * 26, "x" * 10_000, "mdl_%"])
def test_an_id_that_does_not_exist_is_not_found_whatever_it_looks_like(shop: Shop, id: str) -> None:
    for use in (shop.models.get, shop.models.delete):
        with pytest.raises(PithError) as caught:
            use(id)
        assert caught.value.code == "not_found"
        assert len(caught.value.problem.detail) < 600


@pytest.mark.parametrize("name", ["", "a/b", "a\x00b", "\n", "x" * 256])
def test_a_bad_name_creates_nothing(shop: Shop, name: str) -> None:
    stored = shop.blob()
    with pytest.raises(ValidationError):
        shop.models.create(name, *stored)
    assert shop.models.list().data == ()


def test_bytes_that_were_never_stored_cannot_be_named(shop: Shop) -> None:
    with pytest.raises(PithError, match="blob_missing"):
        shop.models.create("m", digest(b"?"), 1)


def test_a_list_is_read_page_by_page_newest_first(shop: Shop) -> None:
    created = [shop.model(name=f"{number}").id for number in range(7)]
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = shop.models.list(limit=3, cursor=cursor)
        seen += [model.id for model in page.data]
        cursor, pages = page.next_cursor, pages + 1
    assert seen == sorted(created, reverse=True)
    assert pages == 3


def test_a_page_that_is_exactly_full_is_the_last_one(shop: Shop) -> None:
    shop.model()
    assert shop.models.list(limit=1).next_cursor is None


@pytest.mark.parametrize("cursor", ["", "x", "dts_" + "0" * 26, "mdl_\x00"])
def test_a_cursor_of_something_else_is_refused(shop: Shop, cursor: str) -> None:
    with pytest.raises(PithError, match=re.escape(f"{cursor!r} is no cursor of this list")):
        shop.models.list(cursor=cursor)


def test_deleting_takes_the_bytes_away_with_the_last_name(shop: Shop) -> None:
    first, second = shop.model(b"same"), shop.model(b"same")
    as_dataset = shop.datasets.create("d", *shop.blob(b"same"))
    shop.models.delete(first.id)
    shop.datasets.delete(as_dataset.id)
    assert shop.blobs.size(digest(b"same")) == 4
    shop.models.delete(second.id)
    with pytest.raises(PithError, match="blob_missing"):
        shop.blobs.size(digest(b"same"))
    with pytest.raises(PithError, match="gone"):
        shop.models.delete(second.id)


@pytest.mark.parametrize("role", ["model", "dataset", "teacher"])
def test_what_an_unfinished_job_names_is_in_use(shop: Shop, role: str) -> None:
    model, teacher, dataset = shop.model(b"m"), shop.model(b"t"), shop.dataset()
    distill = {"kind": "distill.logits", "teacher": teacher.id}
    job = shop.job(model=model.id, dataset=dataset.id, recipe=[distill])
    delete, id = {
        "model": (shop.models.delete, model.id),
        "teacher": (shop.models.delete, teacher.id),
        "dataset": (shop.datasets.delete, dataset.id),
    }[role]
    with pytest.raises(PithError, match=f"{id}' is used by {job.id}, which has not ended"):
        delete(id)
    shop.jobs.cancel(job.id)
    delete(id)
    assert shop.jobs.get(job.id).spec.model == model.id


def test_an_upload_survives_the_deletion_of_the_same_bytes_between_its_commit_and_its_name(shop: Shop) -> None:
    old = shop.model(b"same")
    stored = shop.blob(b"same")
    shop.models.delete(old.id)
    new = shop.models.create("new", *stored)
    assert shop.blobs.path(new.digest).read_bytes() == b"same"


def test_creating_and_deleting_the_same_bytes_at_once_never_leaves_a_name_without_bytes(shop: Shop) -> None:
    problems: list[BaseException] = []

    def churn() -> None:
        own = models(shop.db, LocalBlobs(shop.blobs.root))
        try:
            for _ in range(12):
                model = own.create("m", *shop.blob(b"contended"))
                assert shop.blobs.path(model.digest).read_bytes() == b"contended"
                own.delete(model.id)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=churn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert list(shop.blobs.root.glob("sha256/*/*")) == []
    assert list(shop.blobs.root.glob("pins/*")) == []


def test_submitting_and_deleting_at_once_never_leaves_a_job_without_its_model(shop: Shop) -> None:
    for number in range(8):
        model = shop.model(b"%d" % number)
        spec = shop.spec(model=model.id)
        outcomes: list[str] = []
        together = threading.Barrier(2)

        def attempt(use: object, argument: object, barrier: threading.Barrier, said: list[str]) -> None:
            barrier.wait()
            try:
                use(argument)  # type: ignore[operator]
                said.append("done")
            except PithError as error:
                said.append(error.code)

        pairs = ((shop.jobs.submit, spec), (shop.models.delete, model.id))
        threads = [threading.Thread(target=attempt, args=(*pair, together, outcomes)) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) in (["done", "in_use"], ["done", "gone"])


def test_bytes_that_nobody_ever_named_are_swept_when_they_are_old(shop: Shop) -> None:
    named = shop.model(b"named")
    shop.blob(b"orphan")
    assert sweep(shop.db, shop.blobs) == 0
    assert sweep(shop.db, shop.blobs, older_than=-1) == 1
    assert shop.blobs.size(named.digest) == 5
    with pytest.raises(PithError, match="blob_missing"):
        shop.blobs.size(digest(b"orphan"))


def test_strange_files_between_the_blobs_are_left_alone(shop: Shop) -> None:
    stranger: Path = shop.blobs.root / "sha256" / "ab" / "notes.txt"
    stranger.parent.mkdir()
    stranger.write_text("mine")
    assert sweep(shop.db, shop.blobs, older_than=-1) == 0
    assert stranger.exists()


def test_references_are_found_in_every_table(shop: Shop) -> None:
    assert not is_referred(shop.db, digest(b"dataset"))
    shop.dataset(b"dataset")
    assert is_referred(shop.db, digest(b"dataset"))


def test_what_a_job_has_made_is_named_while_the_job_is_there(shop: Shop) -> None:
    job = shop.job()
    claim = shop.jobs.claim(job.id, "w", 60)
    assert claim is not None
    digest, size = shop.blob(b"made")
    assert shop.jobs.succeed(job.id, claim.attempt, [NewArtifact("model", "model.onnx", "onnx", digest, size)], "met")
    shop.blobs.settle(digest)
    (artifact,) = shop.jobs.artifacts(job.id)
    made = shop.models.take("net", artifact)
    assert (made.digest, made.size_bytes) == (digest, size)
    with pytest.raises(PithError, match="not_found"):
        models(shop.db, shop.blobs, "prj_" + "1" * 26).take("net", artifact)
    shop.jobs.delete(job.id, shop.blobs)
    assert shop.blobs.size(digest) == size, "the model has these bytes"
    with pytest.raises(PithError, match="gone"):
        shop.models.take("net", artifact)
    shop.models.delete(made.id)
    with pytest.raises(PithError, match="blob_missing"):
        shop.blobs.size(digest)
