"""The payloads are real: under the readers that the field uses without thinking, the same files do run their code."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.case import Canary, Hostile
from tests.hostile.corpus import CORPUS
from tests.hostile.trial import listener

FIRING = [case for case in CORPUS.values() if case.unsafe]
SONG = 86


@pytest.mark.parametrize("reader", sorted({str(case.unsafe) for case in FIRING}))
def test_every_payload_runs_under_an_unsafe_reader(reader: str, tmp_path: Path) -> None:
    """``tests/engine/test_pt2_hostile.py`` shows it of exported programs."""
    with listener() as port:
        for number, case in enumerate(one for one in FIRING if one.unsafe == reader):
            canary = Canary(tmp_path / f"canary-{number}", port.port)
            assert _opened(reader, case, tmp_path / f"{number}-{case.file_name}", canary) == SONG, case.name
            assert canary.path.exists() and port.called(), case.name


def _opened(reader: str, case: Hostile, path: Path, canary: Canary) -> int:
    assert case.build is not None
    case.build(path, canary)
    script = Path(__file__).with_name("fire.py")
    return subprocess.run([sys.executable, "-W", "ignore", str(script), reader, str(path)], check=False).returncode
