"""Removing what a job has left."""

import os
from pathlib import Path

import pytest

from worker.removal import remove


def test_deeper_than_recursion_goes(tmp_path: Path) -> None:
    here = Path.cwd()
    root = tmp_path / "root"
    (root / "beside").mkdir(parents=True)
    os.chdir(root)
    try:
        for _ in range(1200):
            Path("d").mkdir()
            Path("file").touch()
            os.chdir("d")
    finally:
        os.chdir(here)
    remove(root)
    assert list(tmp_path.iterdir()) == []


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    root, kept = tmp_path / "root", tmp_path / "kept"
    for folder in (root / "below", kept):
        folder.mkdir(parents=True)
    (kept / "file").touch()
    for link in (root / "link", root / "below" / "link"):
        link.symlink_to(kept, target_is_directory=True)
    remove(root)
    assert list(tmp_path.iterdir()) == [kept]
    assert (kept / "file").exists()


@pytest.mark.parametrize("mode", [0o000, 0o400])
def test_modes_do_not_matter(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "root" / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "file").touch()
    folder.chmod(mode)
    folder.parent.chmod(mode)
    remove(tmp_path / "root")
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_no_error_and_a_link_is_left(tmp_path: Path) -> None:
    remove(tmp_path / "nothing")
    (tmp_path / "link").symlink_to(tmp_path)
    remove(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
