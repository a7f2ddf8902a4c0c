"""A part of `make chaos`, on both databases: a few jobs, struck a few times each."""

import sys
from pathlib import Path

import pytest

from tests.chaos.trial import trial
from tests.store.postgres_process import PostgresProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_every_job_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    trial(tmp_path, seed=1, jobs=3, faults=8, pause=0.05)


def test_on_postgresql_too(tmp_path: Path) -> None:
    postgres = PostgresProcess()
    try:
        trial(tmp_path, seed=2, jobs=2, faults=8, pause=0.05, postgres=postgres)
    finally:
        postgres.close()
