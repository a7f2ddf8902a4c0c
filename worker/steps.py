"""The steps of one attempt, as its process tells of them: how long each took, and its span.

The process is not trusted: a step counts once, under the name that the recipe gives it, and never for less than zero.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from opentelemetry.trace import Span, StatusCode

from pith.base import Step
from pith.job import EngineEvent
from store import traces
from worker import metrics

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Steps:
    def __init__(self, recipe: Sequence[Step]) -> None:
        self._recipe = recipe
        self._begun: dict[int, tuple[datetime, Span]] = {}
        self._over: set[int] = set()

    def hear(self, events: Iterable[EngineEvent]) -> None:
        for event in events:
            if event.step is None or not 0 <= event.step < len(self._recipe):
                continue
            if event.type == "step_started" and event.step not in self._begun:
                kind = self._recipe[event.step].kind  # type: ignore[attr-defined]
                self._begun[event.step] = (event.at, traces.step(event.step, kind, _nanoseconds(event.at)))
            elif event.type == "step_finished" and event.step in self._begun and event.step not in self._over:
                self._end(event.step, event.at)

    def close(self) -> None:
        """The attempt is over; a step that has not ended was cut off."""
        for index, (_, span) in self._begun.items():
            if index not in self._over:
                span.set_status(StatusCode.ERROR, "cut off")
                span.end()

    def _end(self, index: int, at: datetime) -> None:
        self._over.add(index)
        began, span = self._begun[index]
        kind = self._recipe[index].kind  # type: ignore[attr-defined]
        metrics.STEP_SECONDS.labels(kind).observe(max((at - began).total_seconds(), 0))
        span.end(_nanoseconds(max(at, began)))


def _nanoseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND * 1000
