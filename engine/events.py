"""The engine's event stream: one JSON line an event, flushed as it happens."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pith.job import EngineEvent, EventType

QUIET_SECONDS = 0.5


class EventStream:
    """Appends to ``events.jsonl``. Progress is thinned to one line every half second."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._last_progress = 0.0
        self.step: int | None = None

    def emit(self, type: EventType, message: str = "", **data: Any) -> None:
        event = EngineEvent(at=datetime.now(UTC), type=type, message=message, step=self.step, data=data)
        self._file.write(event.model_dump_json() + "\n")
        self._file.flush()

    def progress(self, fraction: float, message: str) -> None:
        """``fraction`` is of the whole job."""
        now = time.monotonic()
        if now - self._last_progress >= QUIET_SECONDS:
            self._last_progress = now
            self.emit("progress", message, fraction=round(min(max(fraction, 0.0), 1.0), 4))

    def close(self) -> None:
        self._file.close()
