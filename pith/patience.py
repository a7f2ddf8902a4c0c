"""Waiting for a service that is away for a moment: it is started again, or the line broke."""

import time
from collections.abc import Callable
from typing import TypeVar

from pith.errors import PithError

T = TypeVar("T")
PATIENCE_SECONDS = 60.0
RETRY_SECONDS = 0.5
AWAY = frozenset({"unreachable", "unavailable"})


class Patience:
    """How long the service has been away."""

    def __init__(self) -> None:
        self._since: float | None = None

    def restore(self) -> None:
        self._since = None

    def spend(self, error: PithError) -> None:
        """Raises ``error`` if it is another one, or goes on for a minute."""
        if self._since is None:
            self._since = time.monotonic()
        if error.code not in AWAY or time.monotonic() - self._since > PATIENCE_SECONDS:
            raise error


def patiently(call: Callable[[], T]) -> T:
    """What ``call`` gives, which may be called again: a request that changes nothing, or one under a key.

    Raises:
        PithError: also when the service stays away for a minute.
    """
    patience = Patience()
    while True:
        try:
            return call()
        except PithError as error:
            patience.spend(error)
        time.sleep(RETRY_SECONDS)
