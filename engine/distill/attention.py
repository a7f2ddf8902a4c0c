"""Attention transfer (Zagoruyko and Komodakis 2016, arXiv 1612.03928), and the probabilities of attention layers
(Jiao et al. 2019, arXiv 1909.10351; Wang et al. 2020, arXiv 2002.10957)."""

import torch
from torch import Tensor

from engine.context import Context
from engine.distill.adapters import alike
from engine.distill.lesson import Lesson, Method, Said, taught
from engine.distill.losses import attended, attending, weighted
from engine.model import Model
from engine.taps import Tap, attentions, places, tapped
from pith.places import Pairs, by_depth
from pith.techniques.distill.attention import DistillAttention

Pairing = tuple[tuple[Tap, ...], tuple[Tap, ...], Pairs | None]
"""Taps of the student, of a teacher, and the places that they are; None for probabilities."""


def apply(model: Model, config: DistillAttention, ctx: Context) -> Model:
    return taught(model, config, ctx, lambda lesson: _method(lesson, config, ctx))


def _method(lesson: Lesson, config: DistillAttention, ctx: Context) -> Method:
    found = [_pairing(lesson, config, ctx, index) for index in range(len(lesson.teachers))]

    def compare(said: Said) -> Tensor:
        pairs = found[said.teacher][2]
        if pairs is None:
            losses = [attending(mine, theirs) for mine, theirs in zip(said.mine, said.theirs, strict=True)]
            return config.probabilities_weight * weighted(losses, (1.0,) * len(losses))
        both = zip(said.mine, said.theirs, pairs, strict=True)
        losses = [attended(*alike(mine, theirs, pair)) for mine, theirs, pair in both]
        return config.weight * torch.stack(losses).sum()

    return Method(compare, tuple(each[0] for each in found), tuple(each[1] for each in found))


def _pairing(lesson: Lesson, config: DistillAttention, ctx: Context, index: int) -> Pairing:
    teacher = lesson.teachers[index]
    if config.probabilities(lesson.pupil, lesson.heads[index]):
        pairs = by_depth(attentions(lesson.student), attentions(teacher))
        mine, theirs = tuple(one for one, _ in pairs), tuple(other for _, other in pairs)
        _check_tokens(lesson.student, mine, teacher, theirs, ctx)
        return mine, theirs, None
    chosen = config.pairs(lesson.pupil, lesson.heads[index])
    own, known = places(lesson.student), places(teacher)
    return tuple(own[one.name] for one, _ in chosen), tuple(known[other.name] for _, other in chosen), chosen


def _check_tokens(student: Model, mine: tuple[Tap, ...], teacher: Model, theirs: tuple[Tap, ...], ctx: Context) -> None:
    for one, other in zip(_tokens(student, mine), _tokens(teacher, theirs), strict=True):
        if one != other:
            reason = f"an attention layer of the student is over {_said(one)} tokens, the teacher's over {_said(other)}"
            raise ctx.inapplicable(reason, "set maps to features")


@torch.no_grad()
def _tokens(model: Model, taps: tuple[Tap, ...]) -> list[torch.Size]:
    """Sizes of the probabilities, without the batch and the heads."""
    model.at_rest()
    found = tapped(model, taps)(*model.signature.tensors(2))
    return [each.shape[-2:] for each in found[-len(taps) :]]


def _said(sizes: torch.Size) -> str:
    return " and ".join(str(size) for size in dict.fromkeys(sizes))
