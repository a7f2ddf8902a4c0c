"""What every process logs: one line a record, as text for a person or as JSON for a machine, on standard error.

The standard library's logging with two formatters: Celery, uvicorn and SQLAlchemy speak through it anyway, so a second
library would only stand beside it. Fields that a record has besides its message are *bound* for a stretch of work.
"""

import json
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType

from opentelemetry import trace

from store.settings import Settings

FIELDS = ("request_id", "job", "attempt", "trace_id", "method", "path", "status", "seconds")
"""In the order in which they stand in a line."""
LONGEST = 16_000
_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_PASSWORD = re.compile(r"(?<=://)([^\s:/@]{0,200}):[^\s/@]{1,500}@")
_SECRET = re.compile(
    r"((?:authorization|signature|token|secret|password|credential|key)[\"']?\s{0,2}[=:]\s{0,2}[\"']?"
    r"(?:(?:bearer|basic)\s)?)[^\s&\"',;]+",
    re.IGNORECASE,
)
_bound: ContextVar[Mapping[str, object]] = ContextVar("pith_log_fields", default={})  # noqa: B039 (never changed)


def set_up(settings: Settings, process: str) -> None:
    """From now on everything that this process logs goes one way, its warnings and last words too."""
    handler = logging.StreamHandler()
    json_wanted = settings.log_format == "json"
    handler.setFormatter(JsonLines(process) if json_wanted else TextLines(_TEXT))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for chatty in ("httpx", "httpcore", "urllib3", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if json_wanted:
        warnings.formatwarning = _one_line
        logging.captureWarnings(True)
        sys.excepthook = _last_words
        threading.excepthook = _of_a_thread


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Every record of this thread or task has these fields meanwhile."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def request_id() -> str | None:
    """Of the request that is being answered."""
    found = _bound.get().get("request_id")
    return None if found is None else str(found)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What is bound, the trace that goes on, and what the record brings itself."""
    found = dict(_bound.get())
    if (span := trace.get_current_span().get_span_context()).is_valid:
        found["trace_id"] = f"{span.trace_id:032x}"
    found |= {name: record.__dict__[name] for name in FIELDS if name in record.__dict__}
    return {name: found[name] for name in FIELDS if found.get(name) is not None}


class JsonLines(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": safe(record.getMessage()),
        }
        line |= {name: safe(value) if isinstance(value, str) else value for name, value in fields_of(record).items()}
        if record.exc_info:
            line["exception"] = safe(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=True, default=str)


class TextLines(logging.Formatter):
    """The lines of an exception are set in, so that none of them passes for a record."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = plain(safe(record.message))
        fields = fields_of(record)
        told = {name: fields[name] for name in ("request_id", "trace_id") if name in fields}
        return super().formatMessage(record) + "".join(f" {name}={plain(str(value))}" for name, value in told.items())

    def formatException(self, error: object) -> str:
        text = safe(super().formatException(error))  # type: ignore[arg-type]
        return "\n".join(f"    {plain(line)}" for line in text.split("\n"))


def safe(text: str) -> str:
    """Without passwords of URLs, signatures and keys, and not without end."""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}… ({len(text)} characters)"
    return _SECRET.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))


def plain(text: str) -> str:
    """In one line: what is not printable is written as Python writes it."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return f"{filename}:{lineno}: {category.__name__}: {message}"


def _last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("pith").critical("the process ends by an error", exc_info=(kind, error, trace))


def _of_a_thread(failed: threading.ExceptHookArgs) -> None:
    error = failed.exc_value or failed.exc_type()
    logging.getLogger("pith").error(
        "a thread ends by an error", exc_info=(failed.exc_type, error, failed.exc_traceback)
    )
