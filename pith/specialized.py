"""Where in the caller's own code a trace went wrong: the last line that is not torch's."""

import logging
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_LOGGER = "torch.fx.experimental.symbolic_shapes"
_MARK = "range_refined_to_singleton"


class _Watch(logging.Handler):
    """Torch says at INFO when a size becomes a constant; the stack of that moment says where."""

    def __init__(self, inside: Path) -> None:
        super().__init__(logging.INFO)
        self.inside, self.places = inside, list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        if _MARK in record.getMessage():
            self.places.append(_place(traceback.extract_stack(), self.inside))


def specialized_at(torch: Any, trace: Callable[[], Any]) -> str:
    """`` at FILE:LINE (CODE)`` of what made a dynamic size a constant, by tracing again; or nothing."""
    watch, logger = _Watch(_folder(torch)), logging.getLogger(_LOGGER)
    handlers, level, propagate = logger.handlers, logger.level, logger.propagate
    logger.handlers, logger.propagate = [watch], False
    logger.setLevel(logging.INFO)
    try:
        trace()
    except Exception:  # the failure that is being looked into
        pass
    finally:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
    return next((place for place in watch.places if place), "")


def last_place_outside(torch: Any, error: BaseException) -> str:
    """The same of the line that an exception went through."""
    return _place(traceback.extract_tb(error.__traceback__), _folder(torch))


def _folder(torch: Any) -> Path:
    return Path(torch.__file__).parent


def _place(frames: Iterable[traceback.FrameSummary], inside: Path) -> str:
    own = Path(__file__).parent
    for frame in reversed(list(frames)):
        file = Path(frame.filename)
        if file.exists() and not file.is_relative_to(inside) and not file.is_relative_to(own) and not _logging(file):
            return f" at {file.name}:{frame.lineno} ({frame.line})"
    return ""


def _logging(file: Path) -> bool:
    return file.parent.name in ("logging", "contextlib") or file.name == "contextlib.py"
