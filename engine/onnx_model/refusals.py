"""What an ONNX file is refused with."""

import re
from typing import NoReturn

from pith.errors import PithError

_PATHS = re.compile(r"(?<![\w.])/[\w./+\-]*/[\w.+\-]*(?::\d+)?")
_CODES = re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[^\x20-\x7e]+")


def malformed(where: str, reason: str) -> NoReturn:
    raise PithError("model_malformed", where=where, reason=reason)


def unsupported(found: str, way_out: str) -> NoReturn:
    raise PithError("model_unsupported", found=found, way_out=way_out)


def unsafe(found: str, way_out: str) -> NoReturn:
    raise PithError("model_unsafe", found=found, way_out=way_out)


def too_large(what: str, value: int, limit: int) -> NoReturn:
    raise PithError("model_too_large", what=what, value=value, limit=limit)


def said(error: BaseException) -> str:
    """What a library says, without its own paths and codes, short enough for a sentence."""
    text = _CODES.sub("", _ESCAPES.sub(" ", str(error)))
    text = " ".join(_PATHS.sub("", text).split())
    return f"{text[:200] or type(error).__name__}".rstrip(". ")


def shown(name: str) -> str:
    """A name out of the file, fit for a sentence."""
    return ascii(name if len(name) <= 80 else f"{name[:79]}…")
