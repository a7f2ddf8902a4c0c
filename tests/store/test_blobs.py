"""What every driver of blobs does: a folder and a bucket behave the same."""

import os
import random
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pith.errors import PithError
from store.blobs import Blobs
from store.s3_keys import PART_BYTES
from tests.store.shop import digest
from tests.store.storage import Storage

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def blobs(storage: Storage) -> Blobs:
    return storage.blobs


def content(blobs: Blobs, data: bytes) -> bytes:
    """What is kept of these bytes."""
    return b"".join(blobs.read(digest(data)))


def put(blobs: Blobs, data: bytes) -> str:
    writer = blobs.writer()
    writer.write(data)
    return writer.commit().digest


def test_bytes_come_back_under_their_digest(storage: Storage, blobs: Blobs) -> None:
    writer = blobs.writer()
    writer.write(b"he")
    writer.write(b"llo")
    assert writer.commit() == (digest(b"hello"), 5)
    assert content(blobs, b"hello") == content(storage.again(), b"hello") == b"hello"
    assert blobs.size(digest(b"hello")) == 5
    assert storage.arriving() == 0


def test_no_bytes_are_a_blob_too(blobs: Blobs) -> None:
    assert blobs.writer().commit() == (digest(b""), 0)
    assert (content(blobs, b""), blobs.size(digest(b""))) == (b"", 0)


@pytest.mark.parametrize("size", [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 7])
def test_bytes_of_several_parts_come_back(storage: Storage, blobs: Blobs, size: int) -> None:
    data = random.Random(size).randbytes(size)
    writer = blobs.writer()
    for start in range(0, size, 5_000_011):
        writer.write(data[start : start + 5_000_011])
    assert writer.commit() == (digest(data), size)
    assert content(blobs, data) == data
    assert storage.arriving() == 0


RANGES = [(0, 1), (0, None), (5, 10), (5, None), (1_048_570, 1_048_590), (2_999_999, 3_000_000), (7, 7), (0, 0)]


@pytest.mark.parametrize(("start", "end"), RANGES)
def test_a_range_is_read(blobs: Blobs, start: int, end: int | None) -> None:
    data = random.Random(0).randbytes(3_000_000)
    put(blobs, data)
    assert b"".join(blobs.read(digest(data), start, end)) == data[start:end]


def test_pieces_are_small(blobs: Blobs) -> None:
    put(blobs, bytes(3_000_000))
    assert max(map(len, blobs.read(digest(bytes(3_000_000))))) <= 2**20


def test_the_same_bytes_are_kept_once(storage: Storage, blobs: Blobs) -> None:
    for _ in range(2):
        writer = blobs.writer()
        writer.write(b"same")
        writer.commit(expected=digest(b"same"))
    assert storage.stored() == [b"same"]


def test_storing_again_mends_a_blob_that_was_damaged(storage: Storage, blobs: Blobs) -> None:
    for harm in (storage.damage, storage.lose):
        put(blobs, b"good")
        harm(digest(b"good"))
        put(blobs, b"good")
        assert content(blobs, b"good") == b"good"
        assert storage.stored() == [b"good"]


def test_bytes_that_are_not_the_expected_ones_are_not_stored(storage: Storage, blobs: Blobs) -> None:
    writer = blobs.writer()
    writer.write(b"hello")
    with pytest.raises(PithError, match=f"have the digest {digest(b'hello')}, not {digest(b'other')}"):
        writer.commit(expected=digest(b"other"))
    assert (storage.arriving(), storage.stored()) == (0, [])


@pytest.mark.parametrize("size", [5, PART_BYTES + 5])
def test_aborted_bytes_are_gone_and_aborting_again_is_harmless(storage: Storage, blobs: Blobs, size: int) -> None:
    writer = blobs.writer()
    writer.write(bytes(size))
    writer.abort()
    writer.abort()
    assert (storage.arriving(), storage.stored()) == (0, [])


def test_aborting_after_commit_keeps_the_blob(blobs: Blobs) -> None:
    writer = blobs.writer()
    name, _ = writer.commit()
    writer.abort()
    assert blobs.size(name) == 0


@pytest.mark.parametrize("use", ["read", "size"])
def test_a_blob_that_is_gone_is_named(blobs: Blobs, use: str) -> None:
    with pytest.raises(PithError, match=f"{digest(b'?')} of an earlier upload are gone"):
        getattr(blobs, use)(digest(b"?"))


def test_a_blob_that_was_lost_is_named_before_anything_is_read(storage: Storage, blobs: Blobs) -> None:
    put(blobs, b"lost")
    storage.lose(digest(b"lost"))
    for start, end in ((0, None), (1, 2)):
        with pytest.raises(PithError, match="blob_missing"):
            blobs.read(digest(b"lost"), start, end)


@pytest.mark.parametrize("name", ["sha256:../../../etc/passwd", "sha256:" + "A" * 64, "md5:" + "0" * 64, "", "/"])
def test_what_is_no_digest_names_nothing(blobs: Blobs, name: str) -> None:
    for use in (blobs.size, blobs.read, lambda name: blobs.delete(name, lambda _: False)):
        with pytest.raises(ValueError, match="is no digest"):
            use(name)


def test_a_file_is_put_in_and_left_where_it_was(blobs: Blobs, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(os.urandom(9_000_001))
    assert blobs.put_file(file) == (digest(file.read_bytes()), 9_000_001)
    assert file.exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_plain_files_are_put_in(storage: Storage, blobs: Blobs, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "it"
    {"link": lambda: place.symlink_to("/etc/passwd"), "pipe": lambda: os.mkfifo(place), "folder": place.mkdir}[kind]()
    with pytest.raises(PithError, match="it is a link, a pipe, a device or a folder"):
        blobs.put_file(place)
    assert (storage.arriving(), storage.stored()) == (0, [])


@pytest.mark.parametrize("size", [0, 1, 10_000_001])
def test_what_is_staged_has_the_same_bytes_and_is_not_the_blob(blobs: Blobs, tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    name, staged = put(blobs, data), tmp_path / "staged"
    blobs.link_to(name, staged)
    assert stat.S_IMODE(staged.stat().st_mode) == 0o444
    assert staged.read_bytes() == data
    staged.chmod(0o644)
    staged.write_bytes(b"vandal!!")
    assert content(blobs, data) == data


def test_staging_never_overwrites(blobs: Blobs, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x")
    name, _ = blobs.put_file(file)
    with pytest.raises(FileExistsError):
        blobs.link_to(name, file)
    assert file.read_bytes() == b"x"


OPEN = """
import os, sys
from store.blobs import open_blobs; from store.database import Database; from store.settings import Settings
blobs = open_blobs(Settings.model_validate_json(sys.argv[1]), Database(sys.argv[2]))
"""
STORE_FOREVER = (
    OPEN
    + """
print("started", flush=True)
while True:
    writer = blobs.writer(); writer.write(os.urandom(200_000)); writer.commit()
"""
)


def test_a_writer_killed_at_any_moment_leaves_no_half_blob(storage: Storage, python: Start) -> None:
    for delay in (0.0, 0.01, 0.02, 0.03):
        writer = python(STORE_FOREVER, *storage.address())
        assert writer.stdout is not None
        assert writer.stdout.readline() == "started\n"
        time.sleep(delay)
        writer.kill()
        writer.communicate()
    list(storage.again().older_than(-10))  # sweeps
    assert storage.arriving() == 0
    for data in storage.stored():
        assert content(storage.blobs, data) == data


def test_a_committed_blob_is_not_deleted_before_it_is_settled(storage: Storage, blobs: Blobs) -> None:
    name = put(blobs, b"new")
    assert not blobs.delete(name, lambda _: False)
    blobs.settle(name)
    assert not blobs.delete(name, lambda _: True)
    assert blobs.delete(name, lambda _: False)
    assert storage.stored() == []


def test_each_commit_needs_its_own_settling(storage: Storage, blobs: Blobs) -> None:
    name = put(blobs, b"twice")
    put(storage.again(), b"twice")
    blobs.settle(name)
    assert not blobs.delete(name, lambda _: False)
    blobs.settle(name)
    assert blobs.delete(name, lambda _: False)


def test_a_blob_that_is_not_there_can_be_deleted_and_settled(blobs: Blobs) -> None:
    blobs.settle(digest(b"?"))
    assert blobs.delete(digest(b"?"), lambda _: False)
    assert not blobs.delete(digest(b"?"), lambda _: True)


def test_nothing_is_committed_while_a_deletion_decides(blobs: Blobs) -> None:
    name = put(blobs, b"contended")
    blobs.settle(name)
    again = blobs.writer()
    again.write(b"contended")
    committing = threading.Thread(target=again.commit)
    alive_meanwhile = []

    def referred(_: str) -> bool:
        committing.start()
        committing.join(0.2)
        alive_meanwhile.append(committing.is_alive())
        return False

    assert blobs.delete(name, referred)
    committing.join()
    assert alive_meanwhile == [True]
    assert content(blobs, b"contended") == b"contended"


STORE_THE_SAME = (
    OPEN
    + """
sys.stdin.readline()
for _ in range(10):
    writer = blobs.writer(); writer.write(b"contended")
    name, _ = writer.commit()
    assert b"".join(blobs.read(name)) == b"contended"
    blobs.settle(name)
"""
)
DELETE_IT = (
    OPEN
    + """
sys.stdin.readline()
for _ in range(40):
    blobs.delete(sys.argv[3], lambda _: False)
"""
)


def test_two_processes_store_what_a_third_deletes_and_none_loses_it(storage: Storage, python: Start) -> None:
    """Between its commit and its settling, each finds its bytes whatever the others do."""
    name = digest(b"contended")
    processes = [python(code, *storage.address(), name) for code in (STORE_THE_SAME, STORE_THE_SAME, DELETE_IT)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [(process.communicate()[1], process.returncode) for process in processes]
    assert [code for _, code in ends] == [0, 0, 0], ends
    list(storage.blobs.older_than(-10))
    assert storage.blobs.delete(name, lambda _: False)
    assert (storage.arriving(), storage.stored()) == (0, [])


def test_old_blobs_are_told_and_lose_their_pins(storage: Storage, blobs: Blobs) -> None:
    name = put(blobs, b"old")
    assert list(blobs.older_than(1000)) == []
    assert not blobs.delete(name, lambda _: False)
    assert list(storage.again().older_than(-10)) == [name]
    assert blobs.delete(name, lambda _: False)
    assert list(blobs.older_than(-10)) == []


def test_a_blob_that_is_being_read_may_be_deleted(blobs: Blobs) -> None:
    data = random.Random(1).randbytes(3_000_000)
    name = put(blobs, data)
    pieces = blobs.read(name)
    assert next(pieces) == data[: 2**20]
    blobs.settle(name)
    assert blobs.delete(name, lambda _: False)
    assert b"".join(pieces) == data[2**20 :]


def test_storage_that_can_be_written_says_nothing(storage: Storage, blobs: Blobs) -> None:
    blobs.check_writable()
    assert (storage.arriving(), storage.stored()) == (0, [])
