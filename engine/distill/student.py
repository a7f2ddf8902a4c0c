"""The student of a distillation: the model as it stands, another one, one by name, or a part of the first teacher."""

import math

import torch

from engine.architectures.build import build
from engine.architectures.export import program
from engine.context import Context, scratch_file, scratch_folder
from engine.distill.fresh import refresh
from engine.distill.known import known
from engine.model import Model, read_model
from engine.prune.blocks import blocks, evenly, without
from engine.prune.channels import Channels, Group
from engine.prune.proof import proven
from engine.randomness import stream
from pith.intake import Architecture
from pith.outlook import Refusal
from pith.students import (
    Narrower,
    Shallower,
    Student,
    nothing_left,
    of_onnx,
    student_problems,
    too_narrow,
    without_blocks,
    without_channels,
)

STUDENT = 2


def student_of(model: Model, wanted: Student | None, first: Model, ctx: Context) -> Model:
    """What is to be trained; ``first`` is the first teacher. A resumed step goes on with the model it is given.

    Raises:
        PithError: ``technique_inapplicable``, or any ``model_…`` or ``architecture_…`` code.
    """
    if wanted is None or ctx.resuming:
        return model
    made = _made(wanted, first, ctx)
    for refusal in student_problems(known(made), known(model)):
        raise _refused(refusal, ctx)
    return made


def _refused(refusal: Refusal, ctx: Context) -> Exception:
    return refusal.error(ctx.step, ctx.config.kind)  # type: ignore[attr-defined]


def _made(wanted: Student, first: Model, ctx: Context) -> Model:
    if isinstance(wanted, str):
        return ctx.model(wanted)
    if isinstance(wanted, Architecture):
        return _built(wanted, ctx)
    if not first.trainable:
        raise _refused(of_onnx(), ctx)
    made = _narrower(first.copy(), wanted, ctx) if isinstance(wanted, Narrower) else _shallower(first, wanted, ctx)
    return refresh(made, stream(ctx.spec.seed, ctx.step, ctx.phase, STUDENT)) if wanted.init == "fresh" else made


def _built(wanted: Architecture, ctx: Context) -> Model:
    built = build(wanted.name, wanted.arguments, wanted.seed, wanted.input_shape)
    path = scratch_file(ctx.folder, "student.pt2")
    torch.export.save(program(built), path)
    return read_model(path, scratch_folder(ctx.folder, "student"))


def _narrower(model: Model, wanted: Narrower, ctx: Context) -> Model:
    channels = proven(model)
    if not channels.groups:
        raise _refused(without_channels(), ctx)
    for group in channels.groups:
        if refusal := nothing_left(wanted, next(iter(group.layers)), len(group.units)):
            raise _refused(refusal, ctx)
    gone = _surplus(channels, wanted)
    if not gone:
        raise _refused(too_narrow(wanted), ctx)
    channels.remove(gone)
    return model


def _surplus(channels: Channels, wanted: Narrower) -> set[int]:
    """The least important channels of each group, measured by the squares of their weights."""
    importance = channels.importance(2)
    gone: set[int] = set()
    for group in channels.groups:
        units = sorted(group.units.tolist(), key=lambda unit: (importance[unit], unit))
        gone.update(units[: len(units) - _left(group, wanted)])
    return gone


def _left(group: Group, wanted: Narrower) -> int:
    step = math.lcm(*(wanted.round_to // math.gcd(wanted.round_to, count) for count in group.layers.values()))
    return min(len(group.units), max(step, round(len(group.units) * wanted.width / step) * step))


def _shallower(first: Model, wanted: Shallower, ctx: Context) -> Model:
    found = blocks(first)
    gone = evenly(found, wanted.depth) if found else ()
    if not gone:
        raise _refused(without_blocks(wanted.depth, len(found)), ctx)
    return without(first.copy(), gone)
