"""What is special about blobs in a bucket: many machines, dead writers, wrong settings, a server that is away."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pith.errors import PithError
from store.blobs import open_blobs
from store.database import Database
from store.references import is_referred, sweep
from store.resources import models
from store.s3_blobs import S3Blobs
from store.s3_keys import FOLDER, PART_BYTES, TAILS
from store.settings import Settings
from tests.store.shop import digest
from tests.store.storage import BucketStorage
from tests.store.swift_process import SwiftProcess

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def storage(s3: Settings, database_url: str) -> Iterator[BucketStorage]:
    """Over each database: it decides between machines."""
    storage = BucketStorage(s3, database_url)
    yield storage
    storage.close()


@pytest.fixture
def blobs(storage: BucketStorage) -> S3Blobs:
    return storage.blobs


def put(blobs: S3Blobs, data: bytes) -> str:
    writer = blobs.writer()
    writer.write(data)
    return writer.commit().digest


# ---- between machines


def test_many_machines_store_and_delete_the_same_bytes(storage: BucketStorage) -> None:
    """What is committed is there until it is settled, whoever deletes it."""
    name, over, lost = digest(b"contended"), threading.Event(), []

    def store() -> None:
        mine = storage.again()
        for _ in range(8):
            put(mine, b"contended")
            try:
                assert b"".join(mine.read(name)) == b"contended"
            except BaseException as error:
                lost.append(error)
            mine.settle(name)

    def delete() -> None:
        mine = storage.again()
        while not over.is_set():
            mine.delete(name, lambda _: False)

    storing, deleting = [threading.Thread(target=store) for _ in range(3)], threading.Thread(target=delete)
    for thread in (*storing, deleting):
        thread.start()
    for thread in storing:
        thread.join()
    over.set()
    deleting.join()
    assert lost == []
    assert storage.blobs.delete(name, lambda _: False)
    assert (storage.arriving(), storage.stored()) == (0, [])


def test_a_model_keeps_its_bytes_while_another_with_the_same_is_deleted(storage: BucketStorage) -> None:
    over, lost = threading.Event(), []

    def come_and_go() -> None:
        blobs = storage.again()
        own = models(storage.db, blobs)
        while not over.is_set():
            writer = blobs.writer()
            writer.write(b"contended")
            own.delete(own.create("m", *writer.commit()).id)

    others = [threading.Thread(target=come_and_go) for _ in range(2)]
    for thread in others:
        thread.start()
    blobs = storage.again()
    for _ in range(8):
        writer = blobs.writer()
        writer.write(b"contended")
        model = models(storage.db, blobs).create("m", *writer.commit())
        try:
            assert model.digest is not None and b"".join(blobs.read(model.digest)) == b"contended"
        except BaseException as error:
            lost.append(error)
        models(storage.db, blobs).delete(model.id)
    over.set()
    for thread in others:
        thread.join()
    assert lost == []
    assert (storage.arriving(), storage.stored()) == (0, [])


# ---- what is left behind


def test_what_dead_writers_left_is_swept_and_what_is_new_is_not(storage: BucketStorage, blobs: S3Blobs) -> None:
    half = blobs.writer()
    half.write(bytes(PART_BYTES + 1))
    half._parts._landed(0)
    storage.bucket.put(FOLDER + "stray", b"complete, and no blob")
    storage.bucket.put(TAILS + "stray.1", b"of an upload that is not there")
    assert storage.arriving() == 3
    assert sweep(storage.db, blobs) == 0 and storage.arriving() == 3
    assert list(blobs.older_than(-1000)) == [] and storage.arriving() == 0
    with pytest.raises(PithError, match="unavailable"):
        half.commit()
    assert (storage.arriving(), storage.stored()) == (0, [])


def test_an_object_that_was_taken_for_left_behind_becomes_no_blob(storage: BucketStorage, blobs: S3Blobs) -> None:
    """A writer that slept for a day between its last byte and its name must not name what is gone."""
    writer = blobs.writer()
    writer.write(b"late")
    storage.bucket.put(FOLDER + writer._name, b"late")
    blobs.objects.doom_strays([writer._name])
    with pytest.raises(PithError, match="unavailable"):
        writer.commit()
    with pytest.raises(PithError, match="blob_missing"):
        blobs.size(digest(b"late"))
    assert list(blobs.older_than(-1000)) == [] and storage.stored() == []


def test_blobs_that_nobody_names_are_swept(storage: BucketStorage, blobs: S3Blobs) -> None:
    named = models(storage.db, blobs).create("m", put(blobs, b"named"), 5)
    put(blobs, b"orphan")
    assert sweep(storage.db, blobs, older_than=-1000) == 1
    assert storage.stored() == [b"named"]
    assert named.digest is not None and is_referred(storage.db, named.digest)


# ---- bytes that are not what they were


def test_damaged_bytes_are_not_staged(storage: BucketStorage, blobs: S3Blobs, tmp_path: Path) -> None:
    put(blobs, b"precious")
    storage.bucket.put(storage.key(digest(b"precious")), b"vandal!!")
    with pytest.raises(PithError, match="blob_missing"):
        blobs.link_to(digest(b"precious"), tmp_path / "staged")
    assert not (tmp_path / "staged").exists()


def test_bytes_that_change_on_their_way_are_refused_by_the_server(storage: BucketStorage, blobs: S3Blobs) -> None:
    def change(request: Any, **_: object) -> None:
        request.body = b"vandal"

    events = blobs.bucket._client.meta.events
    events.register("before-send.s3.PutObject", change)
    writer = blobs.writer()
    writer.write(b"honest")
    with pytest.raises(PithError, match="unavailable") as caught:
        writer.commit()
    assert "XAmzContentSHA256Mismatch" in str(caught.value.__cause__)
    events.unregister("before-send.s3.PutObject", change)
    assert (storage.arriving(), storage.stored()) == (0, [])


# ---- settings and servers


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is away is given up soon."""
    for name, value in {"CONNECT_SECONDS": 1, "READ_SECONDS": 1, "_ATTEMPTS": 1}.items():
        monkeypatch.setattr(f"store.s3.{name}", value)


WRONG = {
    "bucket": ({"blob_url": "s3://no-such-bucket"}, "PITH_BLOB_URL is 's3://no-such-bucket', which is refused"),
    "secret": ({"s3_secret_access_key": "wrong"}, "PITH_S3_SECRET_ACCESS_KEY is 'what it is', which is refused"),
    # Servers differ in which of the two they blame.
    "key": ({"s3_access_key_id": "nobody"}, "PITH_S3_(SECRET_)?ACCESS_KEY(_ID)? is 'what it is', which is refused"),
}


@pytest.mark.parametrize(("fields", "said"), WRONG.values(), ids=WRONG)
def test_what_is_set_wrong_is_refused(s3: Settings, db: Database, fields: dict[str, str], said: str) -> None:
    secret = s3.s3_secret_access_key
    assert secret is not None
    before = {**s3.model_dump(), "s3_secret_access_key": secret.get_secret_value()}
    with pytest.raises(PithError, match=said) as caught:
        open_blobs(Settings.model_validate({**before, **fields}), db)
    assert caught.value.code == "setting_refused"
    assert "testing" not in str(caught.value)


def test_keys_from_the_environment_of_aws_do(
    s3: Settings, db: Database, monkeypatch: pytest.MonkeyPatch, swift: SwiftProcess
) -> None:
    keys = {"s3_access_key_id": None, "s3_secret_access_key": None}
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(PithError, match="Unable to locate credentials"):
        open_blobs(s3.model_copy(update=keys), db)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", swift.settings("")["s3_access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", swift.settings("")["s3_secret_access_key"])
    open_blobs(s3.model_copy(update=keys), db).check_writable()


def test_without_boto3_it_says_what_to_install(s3: Settings, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(PithError, match=r"boto3 is not installed; pip install 'pith\[s3\]'"):
        open_blobs(s3, db)


def test_a_folder_needs_no_boto3(python: Start) -> None:
    code = "import sys; import store.blobs; print('boto3' in sys.modules)"
    assert python(code).communicate()[0] == "False\n"


def test_a_server_that_is_away_is_told_and_forgotten_when_it_is_back(
    s3: Settings, db: Database, fast: None, tmp_path: Path
) -> None:
    server = SwiftProcess()
    try:
        fields = {**server.settings(server.create_bucket()), "data_dir": tmp_path}
        blobs = open_blobs(Settings.model_validate(fields), db)
        assert isinstance(blobs, S3Blobs)
        name, doomed = put(blobs, b"here"), put(blobs, b"doomed")
        half = blobs.writer()
        half.write(b"half")
        server.crash()
        uses: list[Callable[[], object]] = [
            half.commit,
            lambda: blobs.read(name),
            lambda: blobs.link_to(name, tmp_path / "staged"),
            blobs.check_writable,
            lambda: open_blobs(Settings.model_validate(fields), db),
        ]
        for use in uses:
            with pytest.raises(PithError, match="The storage does not answer; try again in a few seconds"):
                use()
        assert not (tmp_path / "staged").exists()
        blobs.settle(doomed)
        assert blobs.delete(doomed, lambda _: False), "it is gone for everybody; its object goes with the next sweep"
        server.start()
        blobs.check_writable()
        assert b"".join(blobs.read(name)) == b"here"
        assert list(blobs.older_than(1000)) == []
        assert len([found for page in blobs.bucket.objects("") for found in page]) == 1
    finally:
        server.close()


def test_a_server_that_hangs_is_given_up(db: Database, fast: None, tmp_path: Path) -> None:
    server = SwiftProcess()
    try:
        fields = {**server.settings(server.create_bucket()), "data_dir": tmp_path}
        blobs = open_blobs(Settings.model_validate(fields), db)
        server.stop()
        with pytest.raises(PithError, match="The storage does not answer"):
            blobs.check_writable()
        server.carry_on()
        blobs.check_writable()
    finally:
        server.close()


def test_reading_goes_on_after_a_connection_broke(blobs: S3Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(range(256)) * 20_000
    put(blobs, data)
    read, times = blobs.bucket.read, iter(range(100))

    def breaking(body: Any, most: int) -> bytes:
        if next(times) == 2:
            raise PithError("unavailable", what="The storage")
        return read(body, most)

    monkeypatch.setattr(blobs.bucket, "read", breaking)
    assert b"".join(blobs.read(digest(data), 5, len(data) - 5)) == data[5:-5]
