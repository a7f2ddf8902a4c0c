"""Imports from a bucket, of a real server that checks signatures."""

import dataclasses

import pytest
from pydantic import SecretStr

from tests.store.shop import Shop, digest
from tests.store.swift_process import SwiftProcess
from tests.worker.by_reference import allowing, imported
from worker.workplace import Workplace

SCRIPT = b"learn('model.pt2')"


@pytest.fixture
def bucket(swift: SwiftProcess) -> str:
    name = swift.create_bucket()
    swift.client().put_object(Bucket=name, Key="nets/a net.pt2", Body=SCRIPT)
    return name


def opened(place: Workplace, swift: SwiftProcess, bucket: str, secret: str | None = None) -> Workplace:
    said = swift.settings(bucket)
    keys = {
        "s3_access_key_id": said["s3_access_key_id"],
        "s3_secret_access_key": SecretStr(secret or said["s3_secret_access_key"]),
    }
    settings = place.settings.model_copy(update={"s3_endpoint_url": swift.url, **keys})
    return allowing(dataclasses.replace(place, settings=settings), import_buckets=(bucket,))


def test_an_object_is_fetched(shop: Shop, place: Workplace, swift: SwiftProcess, bucket: str) -> None:
    model = imported(shop, opened(place, swift, bucket), f"s3://{bucket}/nets/a net.pt2")
    assert (model.status, model.error, model.name, model.digest) == ("ready", None, "a net.pt2", digest(SCRIPT))
    assert model.source is not None and model.source.uri == f"s3://{bucket}/nets/a net.pt2"
    assert model.source.revision == swift.client().head_object(Bucket=bucket, Key="nets/a net.pt2")["ETag"]


def test_only_named_buckets_are_opened(shop: Shop, place: Workplace, swift: SwiftProcess, bucket: str) -> None:
    other = swift.create_bucket()
    swift.client().put_object(Bucket=other, Key="x", Body=SCRIPT)
    open_to_one = opened(place, swift, bucket)
    for source in (f"s3://{other}/x", f"s3://{other}/nets/x"):
        error = imported(shop, open_to_one, source).error
        assert error is not None and error.code == "import_refused"
        assert f"PITH_IMPORT_BUCKETS does not name {other}" in error.detail
    error = imported(shop, place, f"s3://{bucket}/x").error
    assert error is not None and "PITH_IMPORT_BUCKETS is not set" in error.detail


def test_the_bucket_of_the_blobs_is_never_opened(
    shop: Shop, place: Workplace, swift: SwiftProcess, bucket: str
) -> None:
    inside = opened(place, swift, bucket)
    settings = inside.settings.model_copy(update={"blob_url": f"s3://{bucket}/pith"})
    error = imported(shop, dataclasses.replace(inside, settings=settings), f"s3://{bucket}/nets/a net.pt2").error
    assert error is not None and error.code == "import_refused" and "keeps its blobs" in error.detail


def test_wrong_keys_and_objects_are_told(shop: Shop, place: Workplace, swift: SwiftProcess, bucket: str) -> None:
    missing = imported(shop, opened(place, swift, bucket), f"s3://{bucket}/other").error
    assert missing is not None and (missing.code, "404" in missing.detail) == ("import_failed", True)
    wrong = imported(shop, opened(place, swift, bucket, "wrong"), f"s3://{bucket}/nets/a net.pt2").error
    assert wrong is not None and (wrong.code, "403" in wrong.detail) == ("import_failed", True)


def test_a_caller_reaches_the_store_by_s3_alone(shop: Shop, place: Workplace, swift: SwiftProcess, bucket: str) -> None:
    """The operator's own servers are open to what is theirs, and not as addresses."""
    error = imported(shop, opened(place, swift, bucket), f"{swift.url}/{bucket}/nets/a%20net.pt2").error
    assert error is not None and error.code == "address_refused"
