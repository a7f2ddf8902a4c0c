"""Contrastive distillation (Tian, Krishnan and Isola 2019, arXiv 1910.10699)."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.context import Context
from engine.distill.lesson import Lesson, Method, Said, seeded, taught
from engine.distill.losses import contrasted, levelled
from engine.distill.summit import length, summit, vector
from engine.model import Model
from engine.randomness import generator
from pith.techniques.distill.contrastive import DistillContrastive

DRAWN = 4


def apply(model: Model, config: DistillContrastive, ctx: Context) -> Model:
    return taught(model, config, ctx, lambda lesson: _method(lesson, config, ctx))


def _method(lesson: Lesson, config: DistillContrastive, ctx: Context) -> Method:
    own, others = summit(lesson.student), tuple(summit(teacher) for teacher in lesson.teachers)
    labels = _labels(lesson)
    with seeded(ctx):
        rooms = nn.ModuleList(
            Contrast(length(lesson.student, own), length(teacher, taps), len(lesson.split), config)
            for teacher, taps in zip(lesson.teachers, others, strict=True)
        )
    compare = partial(_compare, rooms, labels, config, ctx)
    return Method(compare, (own,) * len(others), others, rooms)


def _compare(
    rooms: nn.ModuleList, labels: Tensor | None, config: DistillContrastive, ctx: Context, said: Said
) -> Tensor:
    batch = said.batch
    place = (ctx.step, ctx.phase, batch.epoch, batch.index, DRAWN, said.teacher)
    samples = len(rooms[said.teacher].mine)  # type: ignore[arg-type]
    count = min(config.others, samples)
    drawn = torch.randint(samples, (count,), generator=generator(ctx.spec.seed, *place))
    counts = drawn[None] != batch.rows[:, None]
    if labels is not None:
        counts &= (labels[drawn][None] != labels[batch.rows][:, None]) | (labels[batch.rows][:, None] < 0)
    mine, theirs = vector(said.mine, batch.outputs[0]), vector(said.theirs, said.output)
    device = mine.device
    found: Tensor = rooms[said.teacher](mine, theirs, batch.rows.to(device), drawn.to(device), counts.to(device))
    return config.weight * found


def _labels(lesson: Lesson) -> Tensor | None:
    """Class numbers by row, -1 where there is none; None where labels are no class numbers."""
    if not lesson.classes or not lesson.labelled:
        return None
    labels = lesson.split.labels(slice(None))
    assert labels is not None
    labels[lesson.labelled :] = -1
    return labels


class Contrast(nn.Module):
    """Embeddings of both sides: the layers that make them, and what every sample's were when it was last met.

    ``levels`` are log Z of both directions, from the first batch on.
    """

    mine: Tensor
    theirs: Tensor
    levels: Tensor

    def __init__(self, student: int, teacher: int, samples: int, config: DistillContrastive) -> None:
        super().__init__()
        self.temperature, self.momentum = config.contrast_temperature, config.momentum
        self.from_student, self.from_teacher = (
            nn.Linear(student, config.dimension),
            nn.Linear(teacher, config.dimension),
        )
        for name in ("mine", "theirs"):
            self.register_buffer(name, functional.normalize(torch.randn(samples, config.dimension), dim=1))
        self.register_buffer("levels", torch.full((2,), torch.nan))

    def forward(self, student: Tensor, teacher: Tensor, rows: Tensor, drawn: Tensor, counts: Tensor) -> Tensor:
        """The loss of both directions for a batch, whose embeddings are then remembered."""
        mine = functional.normalize(self.from_student(student), dim=1)
        theirs = functional.normalize(self.from_teacher(teacher), dim=1)
        loss = self._direction(0, mine, self.theirs, rows, drawn, counts)
        loss = loss + self._direction(1, theirs, self.mine, rows, drawn, counts)
        self._remember(self.mine, rows, mine.detach())
        self._remember(self.theirs, rows, theirs.detach())
        return loss

    def _direction(
        self, side: int, anchors: Tensor, memory: Tensor, rows: Tensor, drawn: Tensor, counts: Tensor
    ) -> Tensor:
        positive = (anchors * memory[rows]).sum(1) / self.temperature
        negative = anchors @ memory[drawn].T / self.temperature
        level = self.levels[side]
        level.copy_(torch.where(level.isnan(), levelled(positive, negative, counts), level))
        return contrasted(positive, negative, counts, level.clone())

    @torch.no_grad()
    def _remember(self, memory: Tensor, rows: Tensor, now: Tensor) -> None:
        memory[rows] = functional.normalize(self.momentum * memory[rows] + (1 - self.momentum) * now, dim=1)
