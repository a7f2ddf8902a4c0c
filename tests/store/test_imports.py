"""What is to be fetched, on every database: who may name the bytes, and what is kept of the source."""

import pytest

from pith.errors import PithError
from pith.imports import DatasetImport, ModelImport
from pith.resources import Model
from store.attempts import Claim
from store.imports import Fetched, Wanted
from store.inputs import Upload
from tests.store.shop import Shop, digest

SOURCE = "https://files.example.org/net.pt2?sig=secret"


def begun(shop: Shop) -> tuple[Model, Claim]:
    model = shop.models.create("net", None, 0, imported=ModelImport(source=SOURCE, sha256="A" * 64))
    return model, claimed(shop, model)


def claimed(shop: Shop, model: Model) -> Claim:
    claim = shop.jobs.claim(model.check, "checker", 60)
    assert claim is not None and isinstance(claim.inputs, Upload)
    return claim


def fetched(shop: Shop, claim: Claim, data: bytes = b"net") -> bool:
    return shop.jobs.fetched(claim.job.id, claim.attempt, Fetched(*shop.blob(data), '"tag"'), shop.blobs)


def kept(shop: Shop) -> list[str]:
    root = shop.blobs.root
    return [file.name for folder in ("pins", "sha256") for file in (root / folder).rglob("*") if file.is_file()]


def test_a_worker_hears_the_whole_source_until_the_bytes_are_there(shop: Shop) -> None:
    model, claim = begun(shop)
    assert isinstance(claim.inputs, Upload)
    assert claim.inputs.wanted == Wanted(SOURCE, f"sha256:{'a' * 64}")
    assert model.source is not None and "secret" not in model.model_dump_json()
    assert fetched(shop, claim)
    found = shop.models.get(model.id)
    assert (found.digest, found.size_bytes, found.status) == (digest(b"net"), 3, "checking")
    assert found.source is not None and found.source.revision == '"tag"'
    assert kept(shop) == [digest(b"net").removeprefix("sha256:")]
    assert shop.jobs.give_back(model.check, claim.attempt)
    again = claimed(shop, model)
    assert isinstance(again.inputs, Upload) and (again.inputs.wanted, again.inputs.digest) == (None, digest(b"net"))


def test_an_attempt_that_is_over_names_nothing(shop: Shop) -> None:
    model, claim = begun(shop)
    assert shop.jobs.give_back(model.check, claim.attempt)
    newer = claimed(shop, model)
    assert not fetched(shop, claim) and kept(shop) == []
    assert fetched(shop, newer, b"other") and shop.models.get(model.id).digest == digest(b"other")


def test_what_was_deleted_or_is_checked_anew_is_not_named(shop: Shop) -> None:
    model, claim = begun(shop)
    shop.models.delete(model.id)
    assert not fetched(shop, claim) and kept(shop) == []
    other, late = begun(shop)
    assert shop.jobs.fail(other.check, late.attempt, PithError("upload_empty").problem)
    again = shop.models.check(other.id)
    assert not fetched(shop, late) and kept(shop) == []
    assert fetched(shop, claimed(shop, again))


def test_a_dataset_without_bytes_can_be_rejected_and_deleted(shop: Shop) -> None:
    dataset = shop.datasets.create("rows", None, 0, imported=DatasetImport(source="s3://data/rows.csv"))
    claim = shop.jobs.claim(dataset.check, "checker", 60)
    assert claim is not None and shop.jobs.fail(dataset.check, claim.attempt, PithError("upload_empty").problem)
    assert shop.datasets.get(dataset.id).status == "rejected"
    with pytest.raises(PithError, match="not_ready"):
        shop.datasets.preview(dataset.id)
    shop.datasets.delete(dataset.id)
