"""Names and texts of a program. Node names and argument names become Python source inside torch, so they are strict."""

import keyword
import re
from typing import Any

from engine.pt2.checks import Wrong, show
from pith.errors import PithError

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,499}")
_SEGMENT = re.compile(r"[A-Za-z0-9_-]{1,200}")
_CALL = re.compile(r"@[0-9]{1,6}(?=\.|\Z)")
_STACK_KEY = re.compile(r"[\w.@<>-]{0,1000}", re.ASCII)
_CLASS = re.compile(r"[\w.<>\[\], -]{1,1000}")
_TORCH_FN = re.compile(r"[\w.<>-]{1,200};[\w.<>-]{1,200}", re.ASCII)
_WORD = re.compile(r"[\w .,:/+-]{0,500}", re.ASCII)
_MAX_TEXT, _MAX_DEPTH = 4096, 100


def identifier(value: Any) -> str:
    """A name that torch writes into source as it is.

    Raises:
        PithError: ``model_unsafe``.
    """
    if not isinstance(value, str):
        raise Wrong(f"{show(value)} is no name")
    if not _IDENTIFIER.fullmatch(value) or keyword.iskeyword(value) or value.startswith("__"):
        raise _unsafe("name", value)
    return value


def argument_name(value: Any) -> str:
    """A name in an operator's schema, where Python's keywords may stand; it is looked up and never written."""
    if not isinstance(value, str) or (value and not _IDENTIFIER.fullmatch(value)):
        raise Wrong(f"{show(value)} is no argument's name")
    return value


def dotted(value: Any) -> str:
    """The name of a parameter, buffer or module: parts of letters, digits, ``_`` and ``-``, joined by dots."""
    if not isinstance(value, str):
        raise Wrong(f"{show(value)} is no name")
    for part in value.split(".", _MAX_DEPTH):
        if not _SEGMENT.fullmatch(part) or part.startswith("__"):
            raise _unsafe("dotted name", value)
    return value


def module_name(value: Any) -> str:
    """A dotted name, empty for the root, where a part called again has ``@1`` behind it."""
    if not isinstance(value, str):
        raise Wrong(f"{show(value)} is no module name")
    if value:
        dotted(_CALL.sub("", value))
    return value


def text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT or not value.isprintable():
        raise Wrong(f"{show(value)} is no short printable text")
    return value


def word(value: Any) -> str:
    """A text that torch may write between quotes into source."""
    if not isinstance(value, str):
        raise Wrong(f"{show(value)} is no text")
    if not _WORD.fullmatch(value):
        raise _unsafe("text", value)
    return value


def node_metadata(value: Any) -> dict[str, str]:
    """Where a node came from: the stack of modules and the function. Stack traces and custom data are dropped."""
    if not isinstance(value, dict):
        raise Wrong(f"{show(value)} is no object")
    kept = {}
    if stack := value.get("nn_module_stack"):
        kept["nn_module_stack"] = _module_stack(stack)
    function = value.get("torch_fn")
    if isinstance(function, str) and _TORCH_FN.fullmatch(function):
        kept["torch_fn"] = function
    return kept


def _module_stack(value: Any) -> str:
    """Entries of a key, a module's dotted name and its class. Unflattening makes attributes of the names."""
    items = value.split(";", _MAX_DEPTH) if isinstance(value, str) else [""]
    for item in items:
        key, _, rest = item.partition(",")
        path, comma, kind = rest.partition(",")
        if not comma or not _STACK_KEY.fullmatch(key) or not _CLASS.fullmatch(kind):
            raise Wrong(f"{show(item)} is no entry of a module stack")
        module_name(path)
    return str(value)


def _unsafe(what: str, value: str) -> PithError:
    return PithError(
        "model_unsafe",
        found=f"the {what} {show(value)}",
        way_out="use letters, digits and underscores in names, and export it again",
    )
