"""A discriminator between the outputs of student and teacher (Xu, Hsu and Huang 2017, arXiv 1709.00513), trained with
the student by reversing its gradient (Ganin and Lempitsky 2014, arXiv 1409.7495)."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.context import Context
from engine.distill.lesson import Lesson, Method, Said, seeded, taught
from engine.distill.losses import doubted
from engine.model import Model
from pith.techniques.distill.adversarial import DistillAdversarial


def apply(model: Model, config: DistillAdversarial, ctx: Context) -> Model:
    return taught(model, config, ctx, lambda lesson: _method(lesson, config, ctx))


def _method(lesson: Lesson, config: DistillAdversarial, ctx: Context) -> Method:
    shape = lesson.student.signature.outputs[0].shape
    width = (shape[-1] or 1) if len(shape) > 1 else 1
    labels = width if lesson.classes and lesson.labelled else 0
    with seeded(ctx):
        judges = nn.ModuleList(discriminator(width + labels, config.hidden) for _ in lesson.teachers)
    return Method(partial(_compare, lesson, judges, config, labels), helpers=judges)


def _compare(lesson: Lesson, judges: nn.ModuleList, config: DistillAdversarial, labels: int, said: Said) -> Tensor:
    told = _told(lesson, said, labels)
    theirs, mine = (_seen(lesson, output, config.temperature) for output in (said.output, said.batch.outputs[0]))
    judge = judges[said.teacher]
    doubt = doubted(judge(torch.cat([reversed_gradient(mine), *told], -1)), judge(torch.cat([theirs, *told], -1)))
    return config.weight * doubt


def _seen(lesson: Lesson, output: Tensor, temperature: float) -> Tensor:
    """Scores as softened probabilities, which cannot run away; other outputs as they are."""
    if lesson.classes:
        return (output.float() / temperature).softmax(-1)
    return output.float() if output.ndim > 1 else output.float()[:, None]


def _told(lesson: Lesson, said: Said, labels: int) -> tuple[Tensor, ...]:
    """The label of each sample with one place a class, zeros where there is none."""
    if not labels or said.batch.labels is None:
        return ()
    given = said.batch.labels
    told = functional.one_hot(given, labels).float() if given.ndim == 1 else given.float()
    known = (said.batch.rows < lesson.labelled).to(told.device)
    return (told * known[:, None],)


def discriminator(width: int, hidden: int) -> nn.Sequential:
    """Above zero for the teacher's outputs."""
    return nn.Sequential(
        nn.Linear(width, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1)
    )


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -gradient


def reversed_gradient(values: Tensor) -> Tensor:
    """The values as they are; what flows back through them is turned round."""
    found: Tensor = _Reversed.apply(values)
    return found
