"""Decoupled distillation (Zhao, Cui, Song, Qiu and Liang 2022, arXiv 2203.08679)."""

from functools import partial

import torch
from torch import Tensor

from engine.context import Context
from engine.distill.lesson import Lesson, Method, Said, taught
from engine.distill.losses import decoupled
from engine.model import Model
from pith.techniques.distill.decoupled import DistillDecoupled


def apply(model: Model, config: DistillDecoupled, ctx: Context) -> Model:
    return taught(model, config, ctx, lambda lesson: Method(partial(_compare, lesson, config)))


def _compare(lesson: Lesson, config: DistillDecoupled, said: Said) -> Tensor:
    grown = min(1.0, (said.batch.epoch + 1) / config.warmup_epochs) if config.warmup_epochs else 1.0
    alpha, beta = grown * config.alpha, grown * config.beta
    target = _target(lesson, said)
    return decoupled(said.batch.outputs[0], said.output, target, config.temperature, alpha, beta)


def _target(lesson: Lesson, said: Said) -> Tensor:
    """The label, of mixed ones the greatest; the teacher's first class where there is none."""
    guessed, labels = said.output.argmax(1), said.batch.labels
    if labels is None:
        return guessed
    told = labels if labels.ndim == 1 else labels.argmax(1)
    return torch.where((said.batch.rows < lesson.labelled).to(told.device), told, guessed)
