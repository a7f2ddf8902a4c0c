"""The student of a distillation: the job's model itself, another one, or one that is made for it."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Discriminator, Field, Tag

from pith.architectures import refusals
from pith.base import Frozen
from pith.facts import LayerFacts, ModelFacts
from pith.fit import ends_shown, same_ends
from pith.ids import ModelId
from pith.intake import Architecture
from pith.narrow import left_alone, narrowed, widths_after
from pith.outlook import Given, Refusal

WEIGHTS = "Start with what is left of the teacher's weights, or with fresh ones from the job's seed."


class Narrower(Frozen):
    """The first teacher with fewer channels everywhere; attention heads and what is tied to constants stay."""

    width: float = Field(gt=0, lt=1, description="Fraction of the first teacher's channels that the student has.")
    init: Literal["pruned", "fresh"] = Field("pruned", description=WEIGHTS)
    round_to: int = Field(4, ge=1, le=256, description="Keep widths at multiples of this number.")


class Shallower(Frozen):
    """The first teacher without some of its blocks, evenly spread."""

    depth: float = Field(gt=0, lt=1, description="Fraction of the first teacher's blocks that the student has.")
    init: Literal["pruned", "fresh"] = Field("pruned", description=WEIGHTS)


STUDENTS: dict[str, type[Frozen]] = {"architecture": Architecture, "narrower": Narrower, "shallower": Shallower}
"""What a student that is made may be, by the names of the branches of its type."""
_SAID_BY = {"name": "architecture", "width": "narrower", "depth": "shallower"}

_SHOWN = 5
_ALL = {2: "both", 3: "all"}


def _form(given: object) -> str | None:
    """Which branch a value is for, by the field that only it has."""
    if isinstance(given, str):
        return "model"
    if isinstance(given, dict):
        return next((form for field, form in _SAID_BY.items() if field in given), None)
    return next((form for form, cls in STUDENTS.items() if isinstance(given, cls)), None)


def _one_form(given: object) -> object:
    fields = [field for field in _SAID_BY if field in given] if isinstance(given, dict) else []
    if len(fields) > 1:
        raise ValueError(f"has {' and '.join(fields)}; give {' or '.join(fields)}, not {_ALL[len(fields)]}")
    if given is not None and _form(given) is None:
        raise ValueError("is no student; give a model's id, or an object with name (an architecture), width or depth")
    return given


Student = Annotated[
    Annotated[ModelId, Tag("model")]
    | Annotated[Architecture, Tag("architecture")]
    | Annotated[Narrower, Tag("narrower")]
    | Annotated[Shallower, Tag("shallower")],
    Discriminator(_form),
    BeforeValidator(_one_form),
]


class Pupil(NamedTuple):
    """A student as far as facts tell; ``facts`` is None where only building it would."""

    facts: ModelFacts | None
    said: str
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()


def pupil(student: Student | None, given: Given, source: ModelFacts | None) -> Pupil:
    """``source`` is the first teacher, of which a student is made; None where it is not known yet."""
    if student is None:
        return Pupil(given.model, f"all {given.parameters:,} parameters")
    if isinstance(student, str):
        return _uploaded(student, given)
    if isinstance(student, Architecture):
        return _built(student, given)
    if source is not None and not source.trainable:
        return Pupil(None, "a student", (of_onnx(),))
    return _narrow(student, source) if isinstance(student, Narrower) else _shallow(student, source)


def student_problems(student: ModelFacts, model: ModelFacts) -> Iterator[Refusal]:
    """What keeps a model from taking the place of the step's own."""
    if not student.trainable:
        way_out = "send its source model as .pt2, or name it as the teacher"
        yield Refusal(reason="an ONNX file cannot be trained", way_out=way_out, field="student")
    elif student.finished_layers:
        reason = f"the student holds {student.finished_layers} layers with quantized weights"
        yield Refusal(reason=reason, way_out="name the model it was made from", field="student")
    elif not same_ends(student, model):
        reason = f"the student gives {ends_shown(student)} and the job's model {ends_shown(model)}"
        yield Refusal(
            reason=reason, way_out="use a student with the same inputs and the same first output", field="student"
        )


def of_onnx() -> Refusal:
    reason = "the first teacher is an ONNX file, of whose layers no student can be made"
    return Refusal(reason=reason, way_out="name the student, or put another teacher first", field="student")


def too_narrow(student: Narrower) -> Refusal:
    reason = f"no layer is wide enough to keep {student.width:.0%} of its channels and a multiple of {student.round_to}"
    return Refusal(reason=reason, way_out="lower round_to or width", field="student/width")


def nothing_left(student: Narrower, layer: str, channels: int) -> Refusal | None:
    """The refusal where not one of so many channels would stay, and nothing is asked for that keeps some."""
    if student.round_to > 1 or round(channels * student.width) > 0:
        return None
    reason = f"a width of {student.width:.3g} leaves none of the {channels} channels of {layer}"
    way_out = f"raise width to {1 / channels:.2g} or more, or set round_to to what shall be left at least"
    return Refusal(reason=reason, way_out=way_out, field="student/width")


def without_channels() -> Refusal:
    reason = "no layer of the first teacher has channels that may be removed"
    return Refusal(reason=reason, way_out="name a student, or make one of less depth", field="student/width")


def without_blocks(depth: float, count: int) -> Refusal:
    """``count`` blocks are there, and none of them would go."""
    reason = f"of {count} blocks of the first teacher, none can go for a depth of {depth:g}"
    way_out = "lower depth, or make a student of less width" if count > 1 else "make a student of less width"
    return Refusal(reason=reason, way_out=way_out, field="student/depth")


def _uploaded(student: ModelId, given: Given) -> Pupil:
    facts = given.others.get(student)
    if facts is None:
        return Pupil(None, f"the student {student}")
    said = f"the student {student} with its {facts.parameters:,} parameters"
    return Pupil(facts, said, tuple(student_problems(facts, given.model)))


def _built(student: Architecture, given: Given) -> Pupil:
    wrong = tuple(refusals(student, given.model))
    note = (
        f"{student.name} is built when the job runs; sent as a model and named by its id, it is built and checked now."
    )
    return Pupil(None, f"a fresh {student.name}", wrong, () if wrong else (note,))


def _narrow(student: Narrower, source: ModelFacts | None) -> Pupil:
    said = f"a student of {student.width:.0%} of the first teacher's width"
    if source is None:
        return Pupil(None, said)
    weighted = [layer for layer in source.layers if layer.width is not None]
    alone = left_alone(tuple(weighted), {})
    open_ones = tuple(layer for layer in weighted if layer.name not in alone)
    widths = widths_after(open_ones, 1 - student.width, student.round_to)
    if not open_ones:
        return Pupil(None, said, (without_channels(),))
    if all(widths[layer.name] == layer.width for layer in open_ones):
        return Pupil(None, said, (too_narrow(student),))
    if none := next(filter(None, (nothing_left(student, each.name, each.width or 0) for each in open_ones)), None):
        return Pupil(None, said, (none,))
    layers = narrowed(source.layers, widths)
    parameters = source.parameters + sum(layer.parameters for layer in layers)
    parameters -= sum(layer.parameters for layer in source.layers)
    lost = sum((old.macs or 0) - (new.macs or 0) for old, new in zip(source.layers, layers, strict=True))
    macs = None if source.macs is None else source.macs - lost
    facts = source.model_copy(update={"layers": layers, "parameters": parameters, "macs": macs})
    return Pupil(
        facts, f"{said} with about {parameters:,} parameters", notes=tuple(_collapsed(student, open_ones, widths))
    )


def _collapsed(student: Narrower, layers: tuple[LayerFacts, ...], widths: Mapping[str, int]) -> Iterator[str]:
    """Notes on layers of which hardly anything is left, or more than was asked for."""
    single = [layer.name for layer in layers if widths[layer.name] == 1 < (layer.width or 0)]
    if single:
        yield f"One channel is all that is left of {_shown_some(single)}; raise width or round_to."
    unit = student.round_to
    held = [layer.name for layer in layers if round((layer.width or 0) * student.width / unit) == 0]
    if held:
        alone = f"a width of {student.width:.3g} alone would leave less than half of that"
        yield f"round_to keeps {unit} channels of {_shown_some(held)}; {alone}."


def _shallow(student: Shallower, source: ModelFacts | None) -> Pupil:
    said = f"a student of {student.depth:.0%} of the first teacher's blocks"
    if source is None:
        return Pupil(None, said)
    kept = kept_evenly(len(source.blocks), student.depth)
    gone = [block for index, block in enumerate(source.blocks) if index not in kept]
    if not gone:
        return Pupil(None, said, (without_blocks(student.depth, len(source.blocks)),))
    parameters = source.parameters - sum(block.parameters for block in gone)
    macs = None if source.macs is None else source.macs - sum(block.macs or 0 for block in gone)
    names = tuple(block.name for block in gone)
    facts = source.model_copy(
        update={
            "layers": tuple(layer for layer in source.layers if not _within(layer.name, names)),
            "hints": tuple(hint for hint in source.hints if not _within(hint.name, names)),
            "blocks": tuple(block for block in source.blocks if block not in gone),
            "parameters": parameters,
            "macs": macs,
        }
    )
    return Pupil(facts, f"{said} with {parameters:,} parameters")


def _shown_some(names: list[str]) -> str:
    """``a, b and 4 more layers``."""
    more = len(names) - _SHOWN
    return f"{', '.join(names[:_SHOWN])} and {more} more layers" if more > 0 else ", ".join(names)


def kept_evenly(count: int, depth: float) -> frozenset[int]:
    """Which of so many blocks stay, spread from the first to the last, so that a fraction ``depth`` does."""
    left = max(1, round(depth * count))
    return frozenset(round(index * (count - 1) / (left - 1)) if left > 1 else 0 for index in range(left))


def _within(name: str, blocks: tuple[str, ...]) -> bool:
    return any(name == block or name.startswith(f"{block}.") for block in blocks)
