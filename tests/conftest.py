"""What the tests of several folders start: once a process, and only for a test that needs it."""

from collections.abc import Iterator

import pytest

from tests.store.swift_process import SwiftProcess


@pytest.fixture(scope="session")
def swift() -> Iterator[SwiftProcess]:
    server = SwiftProcess()
    yield server
    server.close()


@pytest.fixture(scope="session")
def bucket(swift: SwiftProcess) -> str:
    return swift.create_bucket()
