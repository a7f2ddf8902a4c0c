"""A part of `make chaos`, on both databases: a few jobs, struck a few times each."""

import sys
from pathlib import Path

import pytest

from tests.chaos.trial import trial

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_every_job_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    trial(tmp_path, seed=1, jobs=3, faults=9, pause=0.05)
