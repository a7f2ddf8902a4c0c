"""A full disk, two ways: a file size limit (always to be had), and a tiny file system (where we may mount one)."""

import ctypes
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pith.errors import PithError
from store import paths
from store.blobs import LocalBlobs
from tests.store.shop import digest

Start = Callable[..., "subprocess.Popen[str]"]
SIZE = 1_000_000

LIMITED = """
import sys, resource; from pathlib import Path; from store.blobs import LocalBlobs; from pith.errors import PithError
blobs = LocalBlobs(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
writer = blobs.writer()
writer.write(b"x" * 900_000)
try:
    writer.write(b"x" * 200_000)
except PithError as error:
    print(error)
"""


def test_bytes_beyond_the_limit_are_refused_and_nothing_is_left(tmp_path: Path, python: Start) -> None:
    out, errors = python(LIMITED, tmp_path / "blobs").communicate()
    assert out == ("storage_full: 1100000 bytes did not fit on the disk; free some space, then send them again.\n"), (
        errors
    )
    assert [file for file in (tmp_path / "blobs").rglob("*") if file.is_file() and file.name != "lock"] == []


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = tmp_path / "tiny"
    place.mkdir()
    if libc.mount(b"tmpfs", str(place).encode(), b"tmpfs", 0, f"size={SIZE}".encode()):
        pytest.skip("mounting a tiny file system takes root; the limit above covers the same code")
    yield place
    libc.umount2(str(place).encode(), 2)


def test_a_full_disk_stores_nothing_and_works_again_when_there_is_room(tiny: Path) -> None:
    blobs = LocalBlobs(tiny)
    writer = blobs.writer()
    with pytest.raises(PithError, match="storage_full"):
        for _ in range(20):
            writer.write(b"x" * 100_000)
    assert list(paths.incoming(tiny).iterdir()) == []
    small = blobs.writer()
    small.write(b"fits")
    assert small.commit().digest == digest(b"fits")


def test_a_file_that_does_not_fit_is_neither_stored_nor_staged(tiny: Path, tmp_path: Path) -> None:
    blobs = LocalBlobs(tiny)
    big = tmp_path / "big"
    big.write_bytes(b"x" * 600_000)
    name, _ = blobs.put_file(big)
    with pytest.raises(PithError, match="600000 bytes did not fit"):
        blobs.link_to(name, tiny / "staged")
    assert not (tiny / "staged").exists()
    big.write_bytes(b"y" * 600_000)
    with pytest.raises(PithError, match="storage_full"):
        blobs.put_file(big)
    assert list(paths.incoming(tiny).iterdir()) == []
    assert blobs.size(name) == 600_000


def test_a_disk_without_room_for_the_first_byte_says_full(tiny: Path) -> None:
    blobs = LocalBlobs(tiny)
    with pytest.raises(OSError, match="No space"), (tiny / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
    writer = blobs.writer()
    with pytest.raises(PithError, match="1 bytes did not fit"):
        writer.write(b"x")
    with pytest.raises(PithError, match="unavailable"):
        blobs.check_writable()
