"""What the weights of timm's and torchvision's models are called: one line for each model, a hash of all names.

``python -m engine.weights.fingerprints`` writes the list anew, which takes minutes; do it when their versions change.
"""

import functools
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import torch

from engine.architectures.build import names, skeleton

_FILE: Final = Path(__file__).with_name("fingerprints.txt")
_LIBRARIES: Final = ("torchvision", "timm")
_COUNTER: Final = "num_batches_tracked"
_MOST: Final = 24


class Fingerprint(NamedTuple):
    """A model's name, the hash of its weights' names, and how many numbers they have."""

    name: str
    digest: str
    numbers: int


def alike(given: Mapping[str, torch.Tensor]) -> list[str]:
    """Models whose weights have exactly these names, those of the nearest size first."""
    digest, numbers = _digest(given), _numbers(given)
    found = [one for one in _known() if one.digest == digest]
    return [one.name for one in sorted(found, key=lambda one: abs(one.numbers - numbers))[:_MOST]]


@functools.cache
def _known() -> tuple[Fingerprint, ...]:
    lines = (line.split() for line in _FILE.read_text().splitlines())
    return tuple(Fingerprint(name, digest, int(numbers)) for name, digest, numbers in lines)


def _digest(names_given: Iterable[str]) -> str:
    kept = sorted(name for name in names_given if not name.endswith(_COUNTER))
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:16]


def _numbers(given: Mapping[str, torch.Tensor]) -> int:
    return sum(math.prod(tensor.shape) for tensor in given.values())


def _taken() -> Iterator[Fingerprint]:
    for library in _LIBRARIES:
        for name in names(library):
            try:
                weights = skeleton(name, {}).state_dict()
            except Exception:  # cannot be made on the meta device, so it is never suggested
                continue
            yield Fingerprint(name, _digest(weights), _numbers(weights))


if __name__ == "__main__":
    _FILE.write_text("".join(f"{one.name} {one.digest} {one.numbers}\n" for one in _taken()))
