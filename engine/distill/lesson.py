"""How every distillation goes: the student is made, the teachers are asked, and the one loop trains.

The loss is that of the labels, that of softened scores, and what a technique adds, each with its weight; the parts of
several teachers are averaged by theirs. Averaging divergences is as good as the divergence from the averaged scores:
the gradients are the same.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.batches import layout_of
from engine.context import Context
from engine.data import Split
from engine.distill.answers import Answer, Ask, teachers
from engine.distill.joined import joined
from engine.distill.known import known
from engine.distill.losses import softened, weighted
from engine.distill.student import student_of
from engine.model import Model
from engine.objective import Batch, Objective
from engine.randomness import stream
from engine.taps import Tap, tapped
from engine.train import Aids, train
from pith.augmented import MIXING
from pith.facts import ModelFacts
from pith.outlook import Refusal
from pith.teaching import Shares, Teaching, augmented_cache, mixed_labels, no_training_split

HELPERS = 3


@dataclass(frozen=True)
class Lesson:
    """Who learns what from whom. ``labelled`` rows of the split come first; the others have no labels.

    ``pupil`` and ``heads`` are the facts of the student and of each teacher; ``classes`` says that the first output is
    scores of classes.
    """

    student: Model
    teachers: tuple[Model, ...]
    weights: tuple[float, ...]
    split: Split
    labelled: int
    objective: Objective
    pupil: ModelFacts
    heads: tuple[ModelFacts, ...]

    @property
    def classes(self) -> bool:
        return self.objective.classes and self.student.signature.class_scores()

    def known_labels(self, batch: Batch) -> Batch | None:
        """The labelled samples of a batch; None where there are none."""
        if batch.labels is None or self.labelled == 0:
            return None
        if self.labelled == len(self.split):
            return batch
        have = batch.rows < self.labelled
        if not have.any():
            return None
        chosen = have.to(batch.labels.device)
        outputs = tuple(output[chosen] for output in batch.outputs)
        return replace(batch, outputs=outputs, labels=batch.labels[chosen], rows=batch.rows[have])


@dataclass(frozen=True)
class Said:
    """One teacher's answer beside the student's. ``batch`` has the student's outputs alone, ``mine`` its features for
    this teacher, ``output`` and ``theirs`` the teacher's first output and features."""

    batch: Batch
    teacher: int
    mine: tuple[Tensor, ...]
    output: Tensor
    theirs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Method:
    """What a technique adds: ``compare`` gives a loss for one teacher; ``mine`` and ``theirs`` are the taps of student
    and teacher for each; ``helpers`` are trained too."""

    compare: Callable[[Said], Tensor]
    mine: tuple[tuple[Tap, ...], ...] = ()
    theirs: tuple[tuple[Tap, ...], ...] = ()
    helpers: nn.Module | None = None


Plan = Callable[[Lesson], Method]


def taught(model: Model, config: Teaching, ctx: Context, plan: Plan | None = None) -> Model:
    """The student, trained. Without a plan it learns softened scores and labels alone.

    Raises:
        PithError: ``teacher_mismatch``, ``technique_inapplicable``, any ``model_…``, ``dataset_…`` or
            ``architecture_…`` code, or what training raises.
    """
    lesson = _lesson(model, config, ctx)
    method = plan(lesson) if plan is not None else Method(_nothing)
    none = ((),) * len(lesson.teachers)
    mine, theirs = method.mine or none, method.theirs or none
    lesson.student.place(ctx.device, layout_of(lesson.student))
    flat = [tap for taps in mine for tap in taps]
    aids = Aids(forward=tapped(lesson.student, flat) if flat else None, helpers=method.helpers)
    ask = teachers(lesson.teachers, theirs, lesson.split, config.cache, ctx)
    counts = tuple(len(taps) for taps in mine)
    loss = _Loss(lesson, config.shares(), config.temperature, method.compare, ask, counts, ctx.device)
    train(lesson.student, lesson.split, config, loss, ctx, aids)
    return lesson.student


@contextmanager
def seeded(ctx: Context) -> Iterator[None]:
    """The random stream in which helpers are initialised."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(ctx.spec.seed, ctx.step, ctx.phase, HELPERS))
        yield


def _nothing(said: Said) -> Tensor:
    raise AssertionError("a method without a share was asked")


def _lesson(model: Model, config: Teaching, ctx: Context) -> Lesson:
    named = config.teachers()
    found = tuple(ctx.model(each.model) for each in named.values())
    student = student_of(model, config.student, found[0], ctx)
    pupil, heads = known(student), tuple(map(known, found))
    objective = ctx.objective()
    refusals = config.mismatches(pupil, dict(zip(named, heads, strict=True)), objective.classes)
    for refusal in (*_of_data(config, ctx), *refusals):
        raise refusal.error(ctx.step, ctx.config.kind)  # type: ignore[attr-defined]
    split = ctx.training_data(labels=False)
    labelled = 0 if split.y is None else len(split)
    if config.unlabelled is not None:
        more = ctx.other_dataset(config.unlabelled, model).train
        if more is None:
            raise no_training_split().error(ctx.step, ctx.config.kind)  # type: ignore[attr-defined]
        split = joined(split, more)
    weights = tuple(each.weight for each in named.values())
    return Lesson(student, found, weights, split, labelled, objective, pupil, heads)


def _of_data(config: Teaching, ctx: Context) -> Iterator[Refusal]:
    if config.cache is True and ctx.augmenter is not None:
        yield augmented_cache()
    if config.unlabelled is not None and not MIXING.isdisjoint(step.kind for step in ctx.spec.augmentation):
        yield mixed_labels()


@dataclass(frozen=True)
class _Loss:
    lesson: Lesson
    shares: Shares
    temperature: float
    compare: Callable[[Said], Tensor]
    ask: Ask
    counts: tuple[int, ...]
    device: torch.device

    def __call__(self, batch: Batch) -> Tensor:
        answers = self.ask(batch)
        with torch.autocast(self.device.type, enabled=False):
            return torch.stack(list(self._parts(batch, answers))).sum()

    def _parts(self, batch: Batch, answers: list[Answer]) -> Iterator[Tensor]:
        outputs = len(self.lesson.student.signature.outputs)
        features = iter(batch.outputs[outputs:])
        plain = replace(batch, outputs=batch.outputs[:outputs])
        said = [
            Said(plain, index, tuple(next(features) for _ in range(count)), answer[0], answer[1:])
            for index, (count, answer) in enumerate(zip(self.counts, answers, strict=True))
        ]
        if self.shares.logits:
            yield self.shares.logits * self._over(said, self._soft)
        if self.shares.own:
            yield self.shares.own * self._over(said, self.compare)
        known = self.lesson.known_labels(plain) if self.shares.labels else None
        if known is not None:
            yield self.shares.labels * self.lesson.objective.loss(known)

    def _over(self, said: list[Said], compare: Callable[[Said], Tensor]) -> Tensor:
        return weighted([compare(each) for each in said], self.lesson.weights)

    def _soft(self, said: Said) -> Tensor:
        given, wanted = said.batch.outputs[0].float(), said.output.float()
        soft = partial(softened, temperature=self.temperature) if self.lesson.classes else functional.mse_loss
        return soft(given, wanted)
