"""``python -m engine.architectures.table > pith/architectures.txt``: what a plan knows of the names that can be built.

Not covered: arguments of timm's models, and of those of torchvision that cannot be made without numbers.
"""

import inspect
import sys
from collections.abc import Iterator
from importlib.metadata import version
from itertools import chain

from torchvision import models

from engine.architectures import from_pith, from_timm, from_torchvision, from_transformers
from engine.architectures.build import names
from engine.architectures.library import LIBRARIES
from engine.quiet import quiet
from pith.architectures import HEADING, Known, Sample

_CROP = 224


def main() -> None:
    """Write the table."""
    versions = [f"# {library} {version(library)}" for library in LIBRARIES if library != "pith"]
    sys.stdout.write("\n".join([HEADING, *versions, *(known.line() for known in table())]) + "\n")


def table(start: str | tuple[str, ...] = "") -> Iterator[Known]:
    """Every architecture whose name starts so, in the order of the libraries."""
    of = {"pith": _of_pith, "timm": _of_timm, "torchvision": _of_torchvision, "transformers": _of_transformers}
    for name in chain.from_iterable(map(names, LIBRARIES)):
        if name.startswith(start):
            library, _, short = name.partition("/")
            yield of[library](short)


def _of_pith(name: str) -> Known:
    classic = from_pith.classic(name)
    taken = inspect.signature(classic.make).parameters
    needed = tuple(key for key, one in taken.items() if one.default is inspect.Parameter.empty)
    classes = int(taken["num_classes"].default) if "num_classes" in {*taken} - {*needed} else 0
    words = classic.input_name == "input_ids"
    return Known(f"pith/{name}", "text" if words else "tensor", classes, classic.shape, tuple(taken), needed)


def _of_timm(name: str) -> Known:
    config = from_timm.config(name)
    return Known(f"timm/{name}", "tensor", config.get("num_classes") or 0, tuple(config.get("input_size") or ()))


def _of_torchvision(name: str) -> Known:
    told = getattr(models.get_model_weights(name).DEFAULT.transforms, "keywords", {})
    size = told.get("crop_size", _CROP)
    try:
        arguments = tuple(from_torchvision.accepted(name))
    except NotImplementedError:  # it reads numbers while it is made, and the meta device has none
        arguments = ()
    return Known(f"torchvision/{name}", "tensor", 1000, (3, size, size), arguments)


def _of_transformers(name: str) -> Known:
    with quiet():
        sample: Sample = "text pair" if from_transformers.takes_text(name) else "tensor"
        classes, shape = from_transformers.classes_of(name), from_transformers.shape_of(name)
        return Known(f"transformers/{name}", sample, classes, shape, tuple(from_transformers.accepted(name)))


if __name__ == "__main__":
    main()
