"""Where the weights are in what was saved, and what stands before their names."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from engine.weights.pickle_data import TensorRecord
from engine.weights.refusals import unreadable

_WRAPPERS: Final = (
    *("state_dict", "model_state_dict", "model", "module", "net", "network", "params", "weights", "model_weights"),
    *("params_ema", "state_dict_ema", "model_ema", "ema_state_dict", "ema", "generator"),
)
_PREFIXES: Final = ("module.", "_orig_mod.", "model.", "backbone.", "net.", "network.", "encoder.")
_MOST_NESTING: Final = 4
_COUNTERS: Final = frozenset({"n_averaged"})

Value = TypeVar("Value")


def find_state_dict(value: Any) -> tuple[dict[str, TensorRecord], tuple[str, ...]]:
    """The mapping of names to tensors in a checkpoint, and the keys it was found under.

    Raises:
        PithError: ``weights_unreadable`` where there is none, or more than one and no telling which.
    """
    path: list[str] = []
    while not _tensors(value):
        if not isinstance(value, dict):
            unreadable(f"it holds {_kind(value)} and no state dict")
        key = _wrapper(value)
        if key is None or len(path) == _MOST_NESTING:
            unreadable(f"it has no weights under any of its keys ({_listed(value)}); save model.state_dict() alone")
        path.append(key)
        value = value[key]
    found = _tensors(value)
    notes = [f"The weights were found under {'.'.join(path)}."] if path else []
    left = [str(key)[:60] for key in value if key not in found]
    if left:
        notes.append(f"{len(left)} entries that are no tensors were left out: {', '.join(left[:5])}.")
    return found, tuple(notes)


def _tensors(value: Any) -> dict[str, TensorRecord]:
    if not isinstance(value, dict):
        return {}
    return {key: one for key, one in value.items() if isinstance(one, TensorRecord) and key not in _COUNTERS}


def _wrapper(value: Mapping[Any, Any]) -> str | None:
    for key in _WRAPPERS:
        if isinstance(value.get(key), dict) and value[key]:
            return key
    candidates = [key for key, one in value.items() if isinstance(key, str) and _tensors(one)]
    return candidates[0] if len(candidates) == 1 else None


def _kind(value: Any) -> str:
    return "one tensor" if isinstance(value, TensorRecord) else f"a value of the type {type(value).__name__}"


def _listed(value: Mapping[Any, Any]) -> str:
    names = [ascii(key)[1:-1][:40] for key in value]
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "") if names else "none"


def without_prefixes(tensors: Mapping[str, Value]) -> Iterable[tuple[str, dict[str, Value]]]:
    """The tensors as they are, then without each prefix that all of their names have, longest road last."""
    taken, current = "", dict(tensors)
    yield taken, current
    while prefix := _common_prefix(current):
        taken += prefix
        current = {name.removeprefix(prefix): value for name, value in current.items()}
        yield taken, current


def _common_prefix(names: Mapping[str, object]) -> str | None:
    for prefix in _PREFIXES:
        if names and all(name.startswith(prefix) and name != prefix for name in names):
            return prefix
    return None
