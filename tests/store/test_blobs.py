import os
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pith.errors import PithError
from store import paths
from store.blobs import LocalBlobs, open_blobs
from tests.store.shop import digest

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


def arriving(blobs: LocalBlobs) -> list[Path]:
    return list(paths.incoming(blobs.root).iterdir())


def stored(blobs: LocalBlobs) -> list[str]:
    return sorted(file.name for file in blobs.root.glob("sha256/*/*"))


def test_bytes_come_back_under_their_digest(blobs: LocalBlobs) -> None:
    writer = blobs.writer()
    writer.write(b"he")
    writer.write(b"llo")
    assert writer.commit() == (digest(b"hello"), 5)
    with blobs.open(digest(b"hello")) as file:
        assert file.read() == b"hello"
    assert blobs.size(digest(b"hello")) == 5
    assert blobs.path(digest(b"hello")).read_bytes() == b"hello"
    assert arriving(blobs) == []


def test_a_blob_is_read_only(blobs: LocalBlobs) -> None:
    writer = blobs.writer()
    name, _ = writer.commit()
    assert stat.S_IMODE(blobs.path(name).stat().st_mode) == 0o444


def test_the_same_bytes_are_kept_once(blobs: LocalBlobs) -> None:
    for _ in range(2):
        writer = blobs.writer()
        writer.write(b"same")
        writer.commit(expected=digest(b"same"))
    assert stored(blobs) == [paths.hex_of(digest(b"same"))]


def test_storing_again_mends_a_blob_that_was_damaged(blobs: LocalBlobs, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"good")
    name, _ = blobs.put_file(file)
    blobs.path(name).chmod(0o644)
    blobs.path(name).write_bytes(b"")
    blobs.put_file(file)
    assert blobs.path(name).read_bytes() == b"good"


def test_bytes_that_are_not_the_expected_ones_are_not_stored(blobs: LocalBlobs) -> None:
    writer = blobs.writer()
    writer.write(b"hello")
    with pytest.raises(PithError, match=f"have the digest {digest(b'hello')}, not {digest(b'other')}"):
        writer.commit(expected=digest(b"other"))
    assert (arriving(blobs), stored(blobs)) == ([], [])


def test_aborted_bytes_are_gone_and_aborting_again_is_harmless(blobs: LocalBlobs) -> None:
    writer = blobs.writer()
    writer.write(b"hello")
    assert len(arriving(blobs)) == 1
    writer.abort()
    writer.abort()
    assert (arriving(blobs), stored(blobs)) == ([], [])


def test_aborting_after_commit_keeps_the_blob(blobs: LocalBlobs) -> None:
    writer = blobs.writer()
    name, _ = writer.commit()
    writer.abort()
    assert blobs.size(name) == 0


@pytest.mark.parametrize("use", ["open", "size", "path"])
def test_a_blob_that_is_gone_is_named(blobs: LocalBlobs, use: str) -> None:
    with pytest.raises(PithError, match=f"{digest(b'?')} of an earlier upload are gone"):
        getattr(blobs, use)(digest(b"?"))


@pytest.mark.parametrize("name", ["sha256:../../../etc/passwd", "sha256:" + "A" * 64, "md5:" + "0" * 64, "", "/"])
def test_what_is_no_digest_never_becomes_a_path(blobs: LocalBlobs, name: str) -> None:
    with pytest.raises(ValueError, match="is no digest"):
        blobs.path(name)


def test_a_file_is_put_in_and_left_where_it_was(blobs: LocalBlobs, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(os.urandom(9_000_001))
    assert blobs.put_file(file) == (digest(file.read_bytes()), 9_000_001)
    assert file.exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_plain_files_are_put_in(blobs: LocalBlobs, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "it"
    {"link": lambda: place.symlink_to("/etc/passwd"), "pipe": lambda: os.mkfifo(place), "folder": place.mkdir}[kind]()
    with pytest.raises(PithError, match="it is a link, a pipe, a device or a folder"):
        blobs.put_file(place)
    assert (arriving(blobs), stored(blobs)) == ([], [])


def test_what_is_staged_is_not_the_blob(blobs: LocalBlobs, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"precious")
    name, _ = blobs.put_file(file)
    staged = tmp_path / "staged"
    blobs.link_to(name, staged)
    assert stat.S_IMODE(staged.stat().st_mode) == 0o444
    staged.chmod(0o644)
    staged.write_bytes(b"vandal!!")
    assert blobs.path(name).read_bytes() == b"precious"


@pytest.mark.parametrize("size", [0, 1, 10_000_001])
def test_staged_bytes_are_the_same_also_where_the_system_cannot_copy_ranges(
    blobs: LocalBlobs, tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "f"
    file.write_bytes(os.urandom(size))
    name, _ = blobs.put_file(file)
    blobs.link_to(name, tmp_path / "fast")
    monkeypatch.delattr(os, "copy_file_range")
    blobs.link_to(name, tmp_path / "slow")
    assert file.read_bytes() == (tmp_path / "fast").read_bytes() == (tmp_path / "slow").read_bytes()


def test_staging_never_overwrites(blobs: LocalBlobs, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x")
    name, _ = blobs.put_file(file)
    with pytest.raises(FileExistsError):
        blobs.link_to(name, file)


WRITE_AND_WAIT = """
import sys, time; from pathlib import Path; from store.blobs import LocalBlobs
writer = LocalBlobs(Path(sys.argv[1])).writer()
writer.write(b"x" * 1000)
print("written", flush=True)
time.sleep(600)
"""


def test_what_a_killed_writer_leaves_is_swept_and_what_a_living_one_writes_is_not(
    blobs: LocalBlobs, python: Start
) -> None:
    writer = python(WRITE_AND_WAIT, blobs.root)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "written\n"
    mine = blobs.writer()
    LocalBlobs(blobs.root)
    assert len(arriving(blobs)) == 2
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    LocalBlobs(blobs.root)
    assert arriving(blobs) == [mine._path]
    mine.write(b"alive")
    assert mine.commit().digest == digest(b"alive")
    assert stored(blobs) == [paths.hex_of(digest(b"alive"))]


STORE_FOREVER = """
import sys, os; from pathlib import Path; from store.blobs import LocalBlobs
blobs = LocalBlobs(Path(sys.argv[1]))
print("started", flush=True)
while True:
    writer = blobs.writer(); writer.write(os.urandom(200_000)); writer.commit()
"""


def test_a_writer_killed_at_any_moment_leaves_no_half_blob(blobs: LocalBlobs, python: Start) -> None:
    for delay in (0.0, 0.01, 0.02, 0.03):
        writer = python(STORE_FOREVER, blobs.root)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(delay)
        writer.kill()
        writer.communicate()
    LocalBlobs(blobs.root)
    assert arriving(blobs) == []
    for file in blobs.root.glob("sha256/*/*"):
        assert digest(file.read_bytes()) == f"sha256:{file.name}"


def test_a_committed_blob_is_not_deleted_before_it_is_settled(blobs: LocalBlobs) -> None:
    name, _ = blobs.writer().commit()
    assert not blobs.delete(name, lambda _: False)
    blobs.settle(name)
    assert not blobs.delete(name, lambda _: True)
    assert blobs.delete(name, lambda _: False)
    assert stored(blobs) == []


def test_each_commit_needs_its_own_settling(blobs: LocalBlobs) -> None:
    name, _ = blobs.writer().commit()
    blobs.writer().commit()
    blobs.settle(name)
    assert not blobs.delete(name, lambda _: False)
    blobs.settle(name)
    assert blobs.delete(name, lambda _: False)


def test_nothing_is_committed_while_a_deletion_decides(blobs: LocalBlobs) -> None:
    name, _ = blobs.writer().commit()
    blobs.settle(name)
    again = blobs.writer()
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
    assert blobs.size(name) == 0


def test_a_url_with_odd_characters_names_its_folder(tmp_path: Path) -> None:
    open_blobs((tmp_path / "a b%c").as_uri()).check_writable()
    assert (tmp_path / "a b%c" / "sha256").is_dir()


def test_storage_that_cannot_be_written_says_so(blobs: LocalBlobs) -> None:
    blobs.check_writable()
    assert arriving(blobs) == []
    paths.incoming(blobs.root).rmdir()
    with pytest.raises(PithError, match="The storage does not answer"):
        blobs.check_writable()
