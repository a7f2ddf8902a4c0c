"""A teacher that is the average of the student's weights (Tarvainen and Valpola 2017, arXiv 1703.01780)."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from engine.batches import layout_of
from engine.context import Context
from engine.finetune.second import Drawn, Inputs, other_data, view_seed
from engine.model import Model
from engine.objective import Batch
from engine.train import Aids, train
from pith.augmented import MIXING
from pith.second import no_mixing
from pith.techniques.finetune.mean_teacher import MIXED, FinetuneMeanTeacher


def apply(model: Model, config: FinetuneMeanTeacher, ctx: Context) -> Model:
    """
    Raises:
        PithError: ``technique_inapplicable`` with augmentations that mix samples, or without unlabelled ones.
    """
    if not MIXING.isdisjoint(step.kind for step in ctx.spec.augmentation):
        raise ctx.inapplicable(no_mixing(MIXED).reason, no_mixing(MIXED).way_out)
    split, objective = ctx.training_data(labels=True), ctx.objective()
    pool = split if config.unlabelled is None else other_data(config.unlabelled, "unlabelled", False, model, ctx)[1]
    teacher = model.copy()
    teacher.place(ctx.device, layout_of(model)).requires_grad_(False)
    drawn = Drawn(pool, config.unlabelled_ratio * min(config.batch_size, len(split)), model, ctx)
    classes = objective.classes and model.signature.class_scores()
    steps = config.epochs * math.ceil(len(split) / config.batch_size)

    def loss(batch: Batch) -> Tensor:
        inputs, _ = drawn(batch.epoch, batch.index)
        one, other = (view(inputs, config.input_noise, batch, number, ctx) for number in range(2))
        given = model.run(one)[0]
        with torch.no_grad():
            wanted = teacher.run(other)[0]
        done = batch.epoch / config.epochs + batch.index / steps
        return objective.loss(batch) + ramped(config, done) * difference(given, wanted, classes)

    def follow(step: int, steps: int) -> None:
        average(teacher, model, config.ema_decay, step)

    train(model, split, config, loss, ctx, Aids(helpers=teacher.graph, after=follow))
    model.graph.load_state_dict(teacher.graph.state_dict())
    return model


def view(inputs: Inputs, noise: float, batch: Batch, number: int, ctx: Context) -> Inputs:
    """The job's augmentation and Gaussian noise, from a random stream of this view's own."""
    seed = view_seed(ctx, batch.epoch, batch.index, number)
    if ctx.augmenter is not None:
        inputs, _ = ctx.augmenter(inputs, None, seed, 0)
    torch.manual_seed(seed)
    return tuple(each + noise * torch.randn_like(each) if each.is_floating_point() else each for each in inputs)


def difference(given: Tensor, wanted: Tensor, classes: bool) -> Tensor:
    """Mean squared difference, of probabilities where the outputs are scores of classes (section 3.1)."""
    if classes:
        return functional.mse_loss(given.float().softmax(1), wanted.float().softmax(1))
    return functional.mse_loss(given.float(), wanted.float())


def ramped(config: FinetuneMeanTeacher, done: float) -> float:
    """The weight of the difference after that share of the training (appendix B.1)."""
    short = max(0.0, 1 - done / config.ramp_up) if config.ramp_up else 0.0
    return config.consistency_weight * math.exp(-5 * short**2)


@torch.no_grad()
def average(teacher: Model, student: Model, decay: float, step: int) -> None:
    """θ' ← α θ' + (1 - α) θ with α = min(1 - 1 / (step + 1), decay): a true mean at first. Norms of the teacher keep
    statistics of their own."""
    share = min(1 - 1 / (step + 1), decay)
    for mine, theirs in zip(teacher.graph.parameters(), student.graph.parameters(), strict=True):
        mine.lerp_(theirs, 1 - share)
