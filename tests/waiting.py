"""Waiting for something to become so, for as long as a busy machine may need."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
SECONDS = 60.0


def eventually(check: Callable[[], T | None], seconds: float = SECONDS) -> T:
    """The first true answer of ``check``."""
    deadline = time.monotonic() + seconds
    while not (answer := check()):
        assert time.monotonic() < deadline, f"it never came true: {check}"
        time.sleep(0.02)
    return answer
