"""The event stream that a job's process writes, read as it grows. The process is not trusted: what is not a small,
plain event of a type that it may send is dropped, and so is what is too much."""

import json
import math
import os
import stat
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pith.job import EngineEvent, EventType, Progress

ACCEPTED: frozenset[EventType] = frozenset(
    {"progress", "step_started", "step_finished", "metric", "artifact", "warning"}
)
LINE_BYTES = 1 << 14
READ_BYTES = 1 << 20
EVENTS = 5000
DEPTH = 8
TOO_MANY = "The job sent more events than are kept; those after this one were dropped."


class EventTail:
    """``progress`` is the newest seen. Progress is thinned as the job grows older; of other events, EVENTS are kept."""

    def __init__(self, path: Path, steps: int) -> None:
        self.progress: Progress | None = None
        self._path = path
        self._steps = steps
        self._file: int | None = None
        self._rest = b""
        self._skipping = False
        self._kept = 0
        self._began = self._last_progress = time.monotonic()

    def read(self) -> tuple[list[EngineEvent], bool]:
        """The events since the last call, and whether there was anything; reads a bounded amount."""
        if self._file is None:
            self._file = _open_plain(self._path)
        data = b"" if self._file is None else os.read(self._file, READ_BYTES)
        *lines, self._rest = (self._rest + data).split(b"\n")
        events = [event for line in lines if (event := self._take(line)) is not None]
        if len(self._rest) > LINE_BYTES:
            self._rest, self._skipping = b"", True
        return self._thin(events), bool(data)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _take(self, line: bytes) -> EngineEvent | None:
        if self._skipping:  # the end of a line whose beginning was too long
            self._skipping = False
            return None
        event = parse(line)
        if event is None or event.step is None or event.step < self._steps:
            return event
        return None

    def _thin(self, events: list[EngineEvent]) -> list[EngineEvent]:
        newest = next((event for event in reversed(events) if event.type == "progress"), None)
        if newest is not None:
            self.progress = _progress(newest)
            newest = newest if self._is_time_for_progress() else None
        return [kept for event in events if (kept := self._count(event, newest)) is not None]

    def _count(self, event: EngineEvent, newest: EngineEvent | None) -> EngineEvent | None:
        if event.type == "progress":
            return event if event is newest else None
        self._kept += 1
        if self._kept == EVENTS + 1:
            return EngineEvent(at=datetime.now(UTC), type="warning", message=TOO_MANY)
        return event if self._kept <= EVENTS else None

    def _is_time_for_progress(self) -> bool:
        """Twice a second at first, and later every thousandth of the job's age: some 6000 in a day."""
        now = time.monotonic()
        if now - self._last_progress < max(0.5, (now - self._began) / 1000):
            return False
        self._last_progress = now
        return True


def parse(line: bytes) -> EngineEvent | None:
    """One line as an event, dated now when its own date is off; None when it is not acceptable."""
    if len(line) > LINE_BYTES:
        return None
    try:
        raw = json.loads(line)
        if not _plain(raw, DEPTH):
            return None
        event = EngineEvent.model_validate(raw)
    except (ValueError, RecursionError, ValidationError):
        return None
    if event.type not in ACCEPTED:
        return None
    return event if _is_recent(event.at) else event.model_copy(update={"at": datetime.now(UTC)})


def _is_recent(at: datetime) -> bool:
    return at.tzinfo is not None and abs((datetime.now(UTC) - at).total_seconds()) < 60


def _plain(value: Any, depth: int) -> bool:
    """Whether every database can hold it: no NaN, no infinity, no NUL, no half of a character, no deep nesting."""
    match value:
        case dict():
            return depth > 0 and all(_plain(key, depth) and _plain(part, depth - 1) for key, part in value.items())
        case list():
            return depth > 0 and all(_plain(part, depth - 1) for part in value)
        case str():
            return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
        case float():
            return math.isfinite(value)
        case int():
            return abs(value) < 1 << 63
    return value is None


def _progress(event: EngineEvent) -> Progress:
    fraction = event.data.get("fraction")
    known = isinstance(fraction, (int, float)) and 0 <= fraction <= 1
    return Progress(fraction=fraction if known else 0.0, step=event.step, message=event.message)


def _open_plain(path: Path) -> int | None:
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(opened).st_mode):
        return opened
    os.close(opened)
    return None
