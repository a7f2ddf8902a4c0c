"""From a name and arguments to a fresh module. Never pretrained, never the network, nothing of the caller's runs."""

import difflib
import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Final, NoReturn

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from engine.architectures.bounded import bounded
from engine.architectures.built import Built
from engine.architectures.library import LIBRARIES, Library, library
from engine.quiet import quiet
from pith.architecture_arguments import check_arguments, listed, refuse, refuse_unknown
from pith.errors import PithError

_MOST_NUMBERS: Final = 1 << 26
_MOST_REASON: Final = 200
_NEAR: Final = 0.7
# A function of torch.nn.init is asked about as a whole, before the tensor's own method.
_RANDOM: Final = frozenset(
    {"uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"}
)
# Python's own words for arguments that a call does not take, or does not get.
_UNKNOWN: Final = re.compile(r"unexpected keyword argument '(\w+)'")
_MISSING: Final = re.compile(r"missing \d+ required (?:positional|keyword-only) arguments?: (.+)")
_NAMES: Final = re.compile(r"'(\w+)'")
_CALLS: Final = re.compile(r"\b[\w.]+\(\)(: )?")
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[^\x20-\x7e]+")


def build(
    name: str,
    arguments: dict[str, Any] | None = None,
    seed: int = 0,
    input_shape: tuple[int, ...] | None = None,
    blank: bool = False,
) -> Built:
    """The architecture ``library/name``, freshly initialised from the seed, in eval mode and float32.

    Its size is counted on the meta device first. ``input_shape`` is of one sample. ``blank`` leaves out the random
    numbers, for weights that come from elsewhere: until all of them are put in, what it holds means nothing.

    Raises:
        PithError: ``architecture_unknown``, ``architecture_refused`` or ``model_too_large``.
    """
    arguments = dict(arguments or {})
    source, short = _source(name)
    check_arguments(name, arguments)
    _check_shape(name, input_shape)
    _try_on_meta(source, short, arguments, input_shape)
    with constructing(name, source, short, arguments), torch.random.fork_rng(devices=[]), quiet(), bounded():
        torch.manual_seed(seed)
        with _Blank() if blank else nullcontext():
            module = source.make(short, arguments, input_shape).eval().float()
        use = source.use(short, module, arguments, input_shape)
    return Built(name, module, *use)


class _Blank(TorchFunctionMode):
    """Filling a tensor with random numbers leaves it as it is: a gigabyte of them takes many seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in _RANDOM:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def skeleton(name: str, arguments: dict[str, Any]) -> nn.Module:
    """The architecture on the meta device: names and shapes, no numbers.

    Raises:
        Exception: whatever its constructor raises.
    """
    source, short = _source(name)
    with quiet(), bounded(), torch.device("meta"):
        return source.make(short, arguments, None)


def names(of: str) -> list[str]:
    """The architectures of one library, each with the library's name before it."""
    return [f"{of}/{name}" for name in library(of).names()]


def closest(name: str) -> list[str]:
    """Up to three names that look like this one: in its own library, or else among the built-in ones."""
    of, _, short = name.partition("/")
    of, short = (of, short) if of in LIBRARIES else ("pith", short or of)
    near = difflib.get_close_matches(short.lower(), library(of).names(), 3, _NEAR)
    return [f"{of}/{one}" for one in near]


def _source(name: str) -> tuple[Library, str]:
    of, _, short = name.partition("/")
    if of not in LIBRARIES:
        way_out = f"a name starts with one of {', '.join(f'{one}/' for one in LIBRARIES)}."
        raise PithError("architecture_unknown", name=name, way_out=way_out)
    source = library(of)
    if short not in source.names():
        near = closest(name)
        way_out = f"did you mean {' or '.join(near)}?" if near else f"list those of {of}."
        raise PithError("architecture_unknown", name=name, way_out=way_out)
    return source, short


def _check_shape(name: str, shape: tuple[int, ...] | None) -> None:
    if shape is not None and not (0 < len(shape) <= 8 and min(shape) > 0 and math.prod(shape) <= _MOST_NUMBERS):
        refuse(name, f"the input shape {list(shape)} is not taken", "give the shape of one sample")


def _try_on_meta(source: Library, name: str, arguments: dict[str, Any], shape: tuple[int, ...] | None) -> None:
    """Only a size above the limit counts here: not every constructor works without numbers."""
    try:
        with quiet(), bounded(), torch.device("meta"):
            source.make(name, arguments, shape)
    except PithError:
        raise
    except Exception:
        return


@contextmanager
def constructing(name: str, source: Library, short: str, arguments: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Constructors raise all sorts of things; the caller sees ``architecture_refused``."""
    try:
        yield
    except PithError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            raise
        _refuse(name, error, _accepted(source, short), arguments or {})


def _accepted(source: Library, short: str) -> list[str]:
    try:
        return source.accepted(short)
    except Exception:  # what a library cannot tell is not told
        return []


def _refuse(name: str, error: Exception, known: list[str], arguments: Mapping[str, Any]) -> NoReturn:
    """In words of the caller's arguments where Python's own complaint is about them."""
    text = _plain(error)
    if (unknown := _UNKNOWN.search(text)) and unknown[1] not in known:
        refuse_unknown(name, unknown[1], known)
    missing = _NAMES.findall(found[1]) if (found := _MISSING.search(text)) else []
    if missing and {*missing} <= {*known}:
        refuse(name, f"it needs {' and '.join(missing)}", "give these in its arguments")
    if isinstance(error, TypeError) and (odd := _no_numbers(arguments)):
        refuse(name, f"it cannot work with {odd}", f"perhaps a number is meant; {listed(known)}")
    refuse(name, text[:_MOST_REASON].rstrip("."), listed(known))


def _no_numbers(arguments: Mapping[str, Any]) -> str:
    """Those that are texts or null, as they were given."""
    odd = [f"{name}={json.dumps(value)}" for name, value in arguments.items() if value is None or type(value) is str]
    return " and ".join(odd)[:_MOST_REASON]


def _plain(error: Exception) -> str:
    """What the error says, without the names of classes and calls."""
    text = _CALLS.sub(lambda call: "" if call[1] else "it", " ".join(_ESCAPES.sub(" ", str(error)).split())).strip()
    if not text:
        return "its arguments do not go together"
    return f"there is no {text}" if isinstance(error, KeyError) else text
