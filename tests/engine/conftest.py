"""One thread for every test of the engine: the machine may be shared, and the sums must not depend on it."""

import pytest
import torch

from engine.findings import gather
from tests.exporter import one_table

__all__ = ["one_table"]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def unforgiving(monkeypatch: pytest.MonkeyPatch) -> None:
    """A section of a report that fails, fails the test."""
    monkeypatch.setattr(gather, "FORGIVEN", ())
