"""What a file of weights is refused with."""

from collections.abc import Iterable
from typing import NoReturn

from pith.errors import PithError

_MODULES = ("torch.nn.modules", "torch.nn.parallel", "torch.fx.", "timm.models", "torchvision.models", "transformers.")
_STATE_DICT = 'save the weights alone: torch.save(model.state_dict(), "weights.pt")'


def unreadable(reason: str) -> NoReturn:
    raise PithError("weights_unreadable", reason=reason)


def unsafe(found: str, way_out: str) -> NoReturn:
    raise PithError("model_unsafe", found=found, way_out=way_out)


def too_large(what: str, value: int, limit: int) -> NoReturn:
    raise PithError("model_too_large", what=what, value=value, limit=limit)


def pickled(found: str) -> NoReturn:
    raise PithError("model_pickled", found=found)


def forbidden(names: Iterable[str]) -> NoReturn:
    """A pickle that asks for code: a whole module, or a checkpoint with something besides weights."""
    names = list(dict.fromkeys(ascii(name)[1:-1][:80] for name in names))
    asked = f"it asks for {', '.join(names[:5])}"
    if any(name.startswith(_MODULES) for name in names):
        pickled(asked)
    if all(name.startswith("torch.") for name in names):
        unreadable(f"it holds tensors that are not plain: {asked}")
    unsafe(f"a pickle, and {asked}", _STATE_DICT)
