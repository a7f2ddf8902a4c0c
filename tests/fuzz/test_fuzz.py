"""A part of the fuzzer with a fixed seed (``make fuzz`` runs the whole), and parsers under random bytes."""

import io
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.formats import detect
from engine.pt2.bounded_json import parse
from engine.pt2.checks import Wrong
from engine.tar_index import TarFault, read_members
from engine.weights.pickle_data import ForbiddenGlobals, PickleFault, read_pickle
from engine.zip_index import ZipFault, read_index
from pith.errors import PithError
from tests.fuzz import batch
from tests.fuzz.batch import Outcome, changed, outcomes
from tests.fuzz.seeds import SEEDS, seed

ROOT = Path(__file__).parents[2]
FILES = 100
OPENINGS = st.sampled_from(
    [b"PK\x03\x04", b"\x80\x02", b"\x80\x02}", b"{", b"\x08\x0a", b"\x1f\x8b", b"", bytes(257) + b"ustar"]
)
SOME_BYTES = st.builds(bytes.__add__, OPENINGS, st.binary(max_size=600))


def test_every_changed_file_is_accepted_or_refused_in_words(tmp_path: Path) -> None:
    """In a fresh process: this one has computed, and its forks could hang."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz", str(FILES), "--seed", "7", "--keep", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert f"{FILES} files, 0 defects" in done.stdout
    assert "accepted" in done.stdout, "changes so hard that no file is ever good would test little"


def test_a_crash_is_found_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    asked: list[int] = []

    def die_once(one: object, root: Path) -> tuple[str, str]:
        asked.append(len(asked))
        if len(asked) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return "accepted", ""

    monkeypatch.setattr(batch, "_checked", die_once)
    monkeypatch.setattr(batch, "SEEDS", {"csv": SEEDS["csv"]})
    found = list(outcomes(["csv"], 0, 4, tmp_path))
    assert found[2] == Outcome(2, "csv", "died", "signal SIGKILL")
    assert [one.code for one in found] == ["accepted", "accepted", "died", "accepted"]


@pytest.mark.parametrize("name", SEEDS)
def test_good_files_are_good(name: str, tmp_path: Path) -> None:
    """Otherwise the fuzzer would only ever see refusals."""
    assert batch._checked(seed(name), tmp_path / "job") == ("accepted", "")


def test_the_same_seed_gives_the_same_file() -> None:
    assert changed(["csv", "npz"], 3, 5) == changed(["csv", "npz"], 3, 5)
    assert len({changed(["csv"], 3, index)[1].data for index in range(20)}) > 15


@settings(max_examples=300, deadline=None)
@given(SOME_BYTES)
def test_a_pickle_is_read_or_refused(data: bytes) -> None:
    try:
        read_pickle(io.BytesIO(data))
    except (PickleFault, ForbiddenGlobals):
        return


@settings(max_examples=300, deadline=None)
@given(SOME_BYTES)
def test_archives_are_read_or_refused(data: bytes) -> None:
    try:
        read_index(io.BytesIO(data), 100)
    except ZipFault as fault:
        assert fault.reason
    try:
        for _, chunks in read_members(io.BytesIO(data).read):
            assert sum(map(len, chunks)) <= len(data)
    except TarFault as fault:
        assert fault.reason


@settings(max_examples=300, deadline=None)
@given(st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr) | st.text())
def test_json_is_read_or_refused(text: str) -> None:
    try:
        parse(text.encode("utf-8", "surrogatepass"), 8)
    except Wrong as wrong:
        assert wrong.reason


@settings(max_examples=200, deadline=None)
@given(data=SOME_BYTES, number=st.integers(0, 2**32))
def test_a_format_is_found_or_refused(data: bytes, number: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / f"format-{random.Random(number).random()}"
    path.write_bytes(data)
    try:
        detect(path, "model.pt")
    except PithError as error:
        assert error.code.startswith(("model_", "archive_")) and error.problem.detail.isprintable()
    finally:
        path.unlink()
