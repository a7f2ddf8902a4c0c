"""Features of the teacher as hints (Romero et al. 2014, arXiv 1412.6550), at one or several depths."""

from torch import Tensor, nn

from engine.context import Context
from engine.distill.adapters import adapters, alike
from engine.distill.lesson import Lesson, Method, Said, seeded, taught
from engine.distill.losses import hinted, weighted
from engine.model import Model
from engine.taps import places
from pith.techniques.distill.hint import DistillHint


def apply(model: Model, config: DistillHint, ctx: Context) -> Model:
    return taught(model, config, ctx, lambda lesson: _method(lesson, config, ctx))


def _method(lesson: Lesson, config: DistillHint, ctx: Context) -> Method:
    pairs = [config.pairs(lesson.pupil, teacher) for teacher in lesson.heads]
    with seeded(ctx):
        maps = nn.ModuleList(map(adapters, pairs))

    def compare(said: Said) -> Tensor:
        losses = []
        own: nn.ModuleList = maps[said.teacher]  # type: ignore[assignment]
        for pair, adapter, mine, theirs in zip(pairs[said.teacher], own, said.mine, said.theirs, strict=True):
            one, other = alike(mine, theirs, pair)
            losses.append(hinted(adapter(one), other))
        return config.weight * weighted(losses, (1.0,) * len(losses))

    own, others = places(lesson.student), [places(teacher) for teacher in lesson.teachers]
    mine = tuple(tuple(own[one.name] for one, _ in each) for each in pairs)
    theirs = tuple(tuple(known[other.name] for _, other in each) for each, known in zip(pairs, others, strict=True))
    return Method(compare, mine, theirs, maps)
