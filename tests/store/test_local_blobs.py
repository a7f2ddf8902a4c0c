"""What is special about blobs in a folder; what all drivers do is in test_blobs.py."""

import os
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pith.errors import PithError
from store import paths
from store.blobs import LocalBlobs, open_blobs
from store.database import Database
from store.settings import Settings
from tests.store.shop import digest

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


def arriving(blobs: LocalBlobs) -> list[Path]:
    return list(paths.incoming(blobs.root).iterdir())


def stored(blobs: LocalBlobs) -> list[str]:
    return sorted(file.name for file in blobs.root.glob("sha256/*/*"))


def test_a_blob_is_read_only(blobs: LocalBlobs) -> None:
    writer = blobs.writer()
    name, _ = writer.commit()
    assert stat.S_IMODE(blobs.path(name).stat().st_mode) == 0o444


@pytest.mark.parametrize("name", ["sha256:../../../etc/passwd", "sha256:" + "A" * 64, "md5:" + "0" * 64, "", "/"])
def test_what_is_no_digest_never_becomes_a_path(blobs: LocalBlobs, name: str) -> None:
    with pytest.raises(ValueError, match="is no digest"):
        blobs.path(name)


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


def test_a_url_with_odd_characters_names_its_folder(tmp_path: Path) -> None:
    url = (tmp_path / "a b%c").as_uri()
    open_blobs(Settings(data_dir=tmp_path, blob_url=url), Database(f"sqlite:///{tmp_path}/none.db")).check_writable()
    assert (tmp_path / "a b%c" / "sha256").is_dir()


def test_storage_that_cannot_be_written_says_so(blobs: LocalBlobs) -> None:
    blobs.check_writable()
    assert arriving(blobs) == []
    paths.incoming(blobs.root).rmdir()
    with pytest.raises(PithError, match="The storage does not answer"):
        blobs.check_writable()
