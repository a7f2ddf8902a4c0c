"""Which architecture weights were made with: names and shapes held against those of candidates on the meta device.

Candidates are the classics, and those models of timm and torchvision whose names of weights are the same (looked up in
a list that ``python -m engine.weights.fingerprints`` writes). Not covered: arguments that change widths or depths.
"""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import torch

from engine.architectures.build import skeleton
from engine.weights.compare import Mismatch, compare
from engine.weights.fingerprints import alike
from engine.weights.state_dict import without_prefixes

_SECONDS: Final = 10.0
_ENOUGH: Final = 0.5
_CLASSICS: Final = (
    *("lenet_300_100", "lenet_5", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"),
    *("vgg11", "vgg13", "vgg16", "vgg19", "ds_cnn"),
)
_TRIED: Final = ("pith", "timm", "torchvision")
_CHANNELS: Final = {"pith": "in_channels", "timm": "in_chans"}


class Suggestion(NamedTuple):
    """``share`` is how much of all tensors fits, 1 being every one."""

    name: str
    arguments: dict[str, Any]
    share: float

    @property
    def exact(self) -> bool:
        return self.share == 1

    def given(self) -> str:
        """The arguments as they are sent."""
        return ", ".join(f"{name}={json.dumps(value)}" for name, value in self.arguments.items())

    def sentence(self) -> str:
        """As a way out."""
        how = "fits exactly" if self.exact else f"fits best, with {self.share:.0%} of the tensors"
        return f"{self.name}{f' with {self.given()}' if self.arguments else ''} {how}"


def suggest(
    tensors: Mapping[str, torch.Tensor], seconds: float = _SECONDS, first: str | None = None
) -> Suggestion | None:
    """The architecture that fits best, with the number of classes and of channels read off; None where none is near.

    It stops at the first that fits exactly, and when the time is over. The one called ``first`` is tried before others.
    """
    end, best = time.monotonic() + seconds, None
    for name, given in _candidates(tensors, first):
        found = _tried(name, given)
        if found is not None and (best is None or found.share > best.share):
            best = found
        if (best is not None and best.exact) or time.monotonic() > end:
            break
    return best if best is not None and best.share >= _ENOUGH else None


def _candidates(
    tensors: Mapping[str, torch.Tensor], first: str | None
) -> Iterator[tuple[str, Mapping[str, torch.Tensor]]]:
    ways = [given for _, given in without_prefixes(tensors)]
    if first is not None and first.partition("/")[0] in _TRIED:
        for given in ways:
            yield first, given
    for given in ways:
        for name in alike(given):
            yield name, given
    for given in ways:
        for short in _CLASSICS:
            yield f"pith/{short}", given


def _tried(name: str, given: Mapping[str, torch.Tensor]) -> Suggestion | None:
    try:
        difference = compare(wanted := skeleton(name, {}).state_dict(keep_vars=True), given)
        arguments = read_off(name, difference)
        if arguments:
            difference = compare(wanted := skeleton(name, arguments).state_dict(keep_vars=True), given)
    except Exception:  # a constructor that does not take what was read off is no candidate
        return None
    everything = len(wanted.keys() | given.keys())
    return Suggestion(name, arguments, 1 - difference.differences() / max(everything, 1))


def read_off(name: str, difference: Mismatch) -> dict[str, Any]:
    """Arguments under which the named architecture would have the shapes of the file.

    The number of classes from the last tensor that differs in its first size, channels from the first in its second.

    Shapes are the file's, then the candidate's.
    """
    library, found = name.partition("/")[0], dict[str, Any]()
    for given, wanted in difference.shapes.values():
        if len(given) != len(wanted):
            continue
        if given[1:] == wanted[1:]:
            found["num_classes"] = given[0]
        elif len(given) == 4 and given[0] == wanted[0] and given[2:] == wanted[2:] and library in _CHANNELS:
            found.setdefault(_CHANNELS[library], given[1])
    return found
