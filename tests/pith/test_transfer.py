"""Files going up and coming down: whole, in place, and under names that stay in their folder."""

import hashlib
from pathlib import Path

import pytest

from pith.errors import PithError
from pith.transfer import Outgoing, receive, target


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def fetch(to: Path, content: bytes, expected: bytes | None = None) -> Path:
    asked = digest(content if expected is None else expected)
    return receive([content[:3], content[3:]], to, name="a", digest=asked, total=len(content), progress=None)


def test_what_arrives_whole_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    to = tmp_path / "a"
    to.write_bytes(b"old")
    assert fetch(to, b"new content") == to
    assert to.read_bytes() == b"new content" and list(tmp_path.iterdir()) == [to]


def test_what_arrives_damaged_leaves_what_was_there(tmp_path: Path) -> None:
    to = tmp_path / "a"
    to.write_bytes(b"old")
    with pytest.raises(PithError, match="download_damaged"):
        fetch(to, b"new content", expected=b"other content")
    assert to.read_bytes() == b"old" and list(tmp_path.iterdir()) == [to]


def test_a_folder_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(PithError, match="file_unreadable"):
        fetch(tmp_path / "none" / "a", b"x")


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/etc/passwd", "../a"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PithError, match="file_unreadable"):
        target(tmp_path, name)


def test_a_path_is_taken_as_it_is_and_a_folder_gets_the_name(tmp_path: Path) -> None:
    assert target(tmp_path, "model.onnx") == tmp_path / "model.onnx"
    assert target(tmp_path / "mine.onnx", "model.onnx") == tmp_path / "mine.onnx"


def test_a_file_that_shrinks_while_it_is_sent_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(bytes(3 * 2**20))
    outgoing = Outgoing(path)
    pieces = outgoing.pieces()
    next(pieces)
    path.write_bytes(b"x")
    with pytest.raises(PithError, match=r"file_unreadable.*shrank"):
        list(pieces)
    outgoing.close()


def test_a_file_that_grows_while_it_is_sent_is_sent_as_long_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"abc")
    outgoing = Outgoing(path)
    path.write_bytes(b"abcdef")
    assert b"".join(outgoing.pieces()) == b"abc" and outgoing.digest == digest(b"abc")
    outgoing.close()
