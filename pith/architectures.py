"""What is known of architectures by name alone: names, arguments, classes and samples. Nothing is built.

``architectures.txt`` is written by ``python -m engine.architectures.table``. Not covered: arguments of timm's models,
and whether a network takes samples of a shape that is not its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Any, Literal

from pith.architecture_arguments import check_arguments, refuse, refuse_unknown
from pith.errors import PithError
from pith.facts import ModelFacts
from pith.intake import Architecture
from pith.kinds import shown
from pith.outlook import Refusal

HEADING = "# name, kind of sample, classes, shape of a sample, arguments (! needed); see engine/architectures/table.py"
_NEAR = 0.7
_CLASSES = ("num_classes", "num_labels", "out_features")
_CHANNELS = ("in_channels", "in_chans", "num_channels")

Sample = Literal["tensor", "text", "text pair"]
_SAMPLES: dict[Sample, str] = {"tensor": "float32", "text": "token ids", "text pair": "token ids and their mask"}


@dataclass(frozen=True)
class Known:
    """One name. ``classes`` and ``shape`` are what it has without arguments, 0 and () where that is not known;
    ``arguments`` is empty where they are not known."""

    name: str
    sample: Sample
    classes: int
    shape: tuple[int, ...]
    arguments: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()

    def line(self) -> str:
        arguments = ",".join(f"{one}!" if one in self.needed else one for one in self.arguments)
        return "\t".join([self.name, self.sample, str(self.classes), ",".join(map(str, self.shape)), arguments])


def refusals(student: Architecture, model: ModelFacts) -> Iterator[Refusal]:
    """What keeps an architecture from being built with these arguments, or from taking the place of ``model``."""
    try:
        known = _found(student.name)
        check_arguments(student.name, student.arguments)
    except PithError as error:
        yield Refusal.of(error, "student/name" if error.code == "architecture_unknown" else "student/arguments")
        return
    if known is None:
        return
    wrong = [*_of_arguments(known, student)]
    yield from wrong or _of_ends(known, student, model)


@cache
def table() -> dict[str, Known]:
    """All that is known, by name."""
    return {known.name: known for line in _lines() if not line.startswith("#") for known in [_read(line)]}


def _lines() -> list[str]:
    return files("pith").joinpath("architectures.txt").read_text("utf-8").splitlines()


def _read(line: str) -> Known:
    name, sample, classes, shape, arguments = line.split("\t")
    listed = [one for one in arguments.split(",") if one]
    return Known(
        name,
        sample,  # type: ignore[arg-type]
        int(classes),
        tuple(int(size) for size in shape.split(",") if size),
        tuple(one.removesuffix("!") for one in listed),
        tuple(one.removesuffix("!") for one in listed if one.endswith("!")),
    )


def _found(name: str) -> Known | None:
    """None where another version of its library than the table's may know it.

    Raises:
        PithError: ``architecture_unknown``.
    """
    library, _, short = name.partition("/")
    if name in table() or not _current(library):
        return table().get(name)
    names = [one.partition("/")[2] for one in table() if one.startswith(f"{library}/")]
    near = [f"{library}/{one}" for one in get_close_matches(short.lower(), names, 3, _NEAR)]
    way_out = f"did you mean {' or '.join(near)}?" if near else f"list those of {library}."
    raise PithError("architecture_unknown", name=name, way_out=way_out)


def _current(library: str) -> bool:
    """Whether the library is of the version that the table was written from, or not here to tell."""
    try:
        return library == "pith" or f"# {library} {version(library)}" in _lines()
    except PackageNotFoundError:
        return True


def _of_arguments(known: Known, student: Architecture) -> Iterator[Refusal]:
    arguments, shaped = student.arguments, student.input_shape is not None
    try:
        for argument in arguments:
            if known.arguments and argument not in known.arguments:
                refuse_unknown(known.name, argument, known.arguments)
        missing = [one for one in known.needed if one not in arguments and not (shaped and one == "in_features")]
        if missing:
            refuse(known.name, f"it needs {' and '.join(missing)}", "give these in its arguments")
        for argument in _CLASSES:
            count = arguments.get(argument, 1)
            if type(count) is not int or count < 0:
                refuse(known.name, f"{argument} is {count!r}", "give a whole number")
    except PithError as error:
        yield Refusal.of(error, "student/arguments")


def _of_ends(known: Known, student: Architecture, model: ModelFacts) -> Iterator[Refusal]:
    shape, inputs = _shape(known, student), model.inputs
    dtypes = {"tensor": ["float32"], "text": ["int64"], "text pair": ["int64", "int64"]}[known.sample]
    if [tensor.dtype for tensor in inputs] != dtypes:
        takes = f"{_SAMPLES[known.sample]}, and the job's model {' and '.join(tensor.dtype for tensor in inputs)}"
        yield _refused(f"{known.name} takes {takes}", "name an architecture for the same inputs", "name")
    elif known.sample == "tensor" and shape is not None and shape != inputs[0].shape[1:]:
        sizes = inputs[0].shape[1:]
        free = None in sizes or student.input_shape == sizes
        way_out = "name an architecture for these" if free else f'set "input_shape": {list(sizes)}'
        reason = f"{known.name} takes samples of the shape ({shown(shape)}), and the job's model ({shown(sizes)})"
        yield _refused(reason, way_out, "input_shape")
    yield from _of_classes(known, student, model)


def _of_classes(known: Known, student: Architecture, model: ModelFacts) -> Iterator[Refusal]:
    output = model.outputs[0].shape[1:]
    key = next((one for one in _CLASSES if one in student.arguments), None)
    features = known.name.startswith("transformers/") and not known.classes
    classes = known.classes if key is None or features else student.arguments[key]
    if not classes or not isinstance(classes, int) or (classes,) == output:
        return
    usual = next((one for one in _CLASSES if one in known.arguments), "num_classes")
    fits = len(output) == 1 and output[0] is not None
    way_out = f'set "arguments": {{"{key or usual}": {output[0]}}}' if fits else "name a model's id"
    yield _refused(f"{known.name} gives ({classes}), and the job's model ({shown(output)})", way_out, "arguments")


def _refused(reason: str, way_out: str, field: str) -> Refusal:
    return Refusal(reason=reason, way_out=way_out, field=f"student/{field}")


def _shape(known: Known, student: Architecture) -> tuple[int, ...] | None:
    """Of one sample; None where it is not known."""
    given, arguments, usual = student.input_shape, student.arguments, known.shape
    library = known.name.partition("/")[0]
    if library == "torchvision":
        sizes = given[1:] if given else _pair(arguments.get("image_size", usual[1:]))
        return None if sizes is None else (3, *sizes)
    if given is not None and "max_length" not in known.arguments:
        return given
    found: list[Any] = list(usual)
    if "in_features" in arguments and library == "pith":
        found = [arguments["in_features"]]
    elif len(usual) == 3:
        sizes = next((_pair(arguments[one]) for one in ("img_size", "image_size") if one in arguments), usual[1:])
        channels = next((arguments[one] for one in _CHANNELS if one in arguments), usual[0])
        found = [channels, *(sizes or (None, None))]
    elif len(usual) == 2:
        found = [arguments.get("max_length", usual[0]), arguments.get("num_mel_bins", usual[1])]
    return tuple(found) if found and all(type(size) is int and size > 0 for size in found) else None


def _pair(size: Any) -> tuple[int, ...] | None:
    """Height and width, of a number for both or of two."""
    if isinstance(size, list | tuple):
        return tuple(size) if len(size) == 2 else None
    return (size, size)
