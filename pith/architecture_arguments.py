"""Arguments of a named architecture: JSON values within bounds, and none that reaches files, code or other weights."""

import difflib
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from pith.errors import PithError

_MOST_DEPTH, _MOST_ITEMS, _MOST_TEXT, _MOST_NUMBER = 4, 512, 64, 10_000_000
_MOST_SAID: Final = 40
_REFUSED: Final = frozenset(
    {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict", "checkpoint_path", "cache_dir"}
    | {"weights", "weights_backbone", "weights_only", "progress", "use_safetensors", "name_or_path", "auto_map"}
    | {"trust_remote_code", "attn_implementation", "quantization_config", "backbone", "backbone_config"}
    | {"backbone_kwargs", "use_timm_backbone", "use_pretrained_backbone", "adapter_kwargs", "custom_pipelines"}
    | {"features_only", "out_indices", "feature_cls", "scriptable", "exportable", "no_jit", "torchscript"}
    | {"dtype", "torch_dtype", "device", "architectures", "model_type", "transformers_version", "return_dict"}
    | {"output_attentions", "output_hidden_states", "use_cache", "experts_implementation", "fuse_dense"}
)


def check_arguments(name: str, arguments: dict[str, Any]) -> None:
    """See that the arguments are data.

    Raises:
        PithError: ``architecture_refused``, naming the argument.
    """
    for argument, value in arguments.items():
        if argument in _REFUSED or not argument.isidentifier() or argument.startswith("_"):
            refuse(name, f"the argument {argument[:60]!r} is not taken", "leave it out")
        if problem := argument_problem(value):
            refuse(name, f"the argument {argument!r} {problem}", "give a short JSON value")


def refuse_unknown(name: str, argument: str, known: Sequence[str]) -> NoReturn:
    """Raises PithError: ``architecture_refused`` for an argument that is not among ``known``."""
    near = difflib.get_close_matches(argument, known, 1) or [one for one in known if one.startswith(argument)][:1]
    taken = listed(known)
    way_out = f"did you mean {near[0]}? {taken[:1].upper()}{taken[1:]}" if near else taken
    refuse(name, f"it has no argument {argument!r}", way_out)


def listed(known: Sequence[str]) -> str:
    """What an architecture takes, as a way out."""
    if not known:
        return "change its arguments"
    return f"its arguments are {', '.join(known[:_MOST_SAID])}{', …' if len(known) > _MOST_SAID else ''}"


def refuse(name: str, reason: str, way_out: str) -> NoReturn:
    raise PithError("architecture_refused", name=name, reason=reason, way_out=way_out)


def refused(argument: str) -> bool:
    """Whether an argument that a library would take is not taken here."""
    return argument in _REFUSED or argument.startswith("_")


def argument_problem(value: Any) -> str | None:
    """What is wrong with a value, as a phrase that goes on from its name; None when it is plain data within bounds."""
    return _problem(value, 0)


def _problem(value: Any, depth: int) -> str | None:
    match value:
        case None | bool():
            return None
        case int() | float():
            return None if abs(value) <= _MOST_NUMBER else f"is out of bounds ({value:.6g})"
        case str():
            return _text_problem(value)
        case list() | tuple() | dict() if depth == _MOST_DEPTH or len(value) > _MOST_ITEMS:
            return f"nests too deep or has more than {_MOST_ITEMS} items"
        case list() | tuple():
            return next(filter(None, (_problem(one, depth + 1) for one in value)), None)
        case dict():
            parts = (_problem(one, depth + 1) for pair in value.items() for one in pair)
            return next(filter(None, parts), None)
        case _:
            return f"is no JSON value ({type(value).__name__})"


def _text_problem(text: str) -> str | None:
    if len(text) > _MOST_TEXT or not text.isprintable():
        return f"is a text of {len(text)} characters"
    if {"/", "\\", ":", "~"} & set(text) or ".." in text:
        return f"looks like a path or an address ({text!r})"
    return None
