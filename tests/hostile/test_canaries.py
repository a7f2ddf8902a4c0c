"""The payloads are real: under the readers that the field uses without thinking, the same files do run their code."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.case import Canary, Hostile
from tests.hostile.corpus import CORPUS
from tests.hostile.trial import listener

FIRING = {case.name: case for case in CORPUS.values() if case.unsafe}
SONG = 86


@pytest.fixture(scope="module")
def fired(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, Canary]]:
    """The exit code of each file's reader, and what the file was to touch. The readers are started together."""
    root = tmp_path_factory.mktemp("canaries")
    with listener() as port:
        canaries = [Canary(root / f"canary-{number}", port.port) for number in range(len(FIRING))]
        paths = [_built(case, canary) for case, canary in zip(FIRING.values(), canaries, strict=True)]
        readers = [str(case.unsafe) for case in FIRING.values()]
        codes = _opened(readers, paths)
        assert all(port.called() for _ in FIRING), "each of them calls out"
    return dict(zip(FIRING, zip(codes, canaries, strict=True), strict=True))


@pytest.mark.parametrize("name", FIRING)
def test_every_payload_runs_under_an_unsafe_reader(name: str, fired: dict[str, tuple[int, Canary]]) -> None:
    """``tests/engine/test_pt2_hostile.py`` shows it of exported programs."""
    code, canary = fired[name]
    assert code == SONG and canary.path.exists()


def _built(case: Hostile, canary: Canary) -> Path:
    assert case.build is not None
    path = canary.path.with_name(f"{canary.path.name}-{case.file_name}")
    case.build(path, canary)
    return path


def _opened(readers: list[str], paths: list[Path]) -> list[int]:
    """The exit code of each, opened by a process of its own."""
    script, pairs = Path(__file__).with_name("fire.py"), zip(readers, map(str, paths), strict=True)
    command = [sys.executable, "-W", "ignore", script, *(word for pair in pairs for word in pair)]
    return list(map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()))
