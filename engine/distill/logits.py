"""Distillation of softened outputs (Hinton, Vinyals and Dean 2015, arXiv 1503.02531)."""

import torch
from torch import Tensor
from torch.nn import functional

from engine.context import Context
from engine.model import Model
from engine.train import Loss, cross_entropy, train
from pith.distill import DistillLogits
from pith.errors import PithError


def apply(model: Model, config: DistillLogits, ctx: Context) -> Model:
    teacher = ctx.teacher(config.teacher)
    if teacher.signature.output != model.signature.output or teacher.signature.shape[1:] != model.signature.shape[1:]:
        raise PithError("teacher_mismatch", teacher=_shapes(teacher), student=_shapes(model))
    split = ctx.training_data(labels=False)
    train(model, split, config, _loss(teacher, config), ctx)
    return model


def softened(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(softmax(teacher / T) ‖ softmax(student / T)), averaged over the batch (equation 2 and section 2.1)."""
    wanted = functional.log_softmax(teacher.float() / temperature, dim=-1)
    given = functional.log_softmax(student.float() / temperature, dim=-1)
    return functional.kl_div(given, wanted, reduction="batchmean", log_target=True) * temperature**2


def _loss(teacher: Model, config: DistillLogits) -> Loss:
    hard = cross_entropy()

    def loss(outputs: Tensor, inputs: Tensor, labels: Tensor | None) -> Tensor:
        with torch.no_grad():
            wanted = teacher.graph(inputs)
        soft = softened(outputs, wanted, config.temperature)
        if labels is None or config.hard_label_weight == 0:
            return soft
        weight = config.hard_label_weight
        return weight * hard(outputs, inputs, labels) + (1 - weight) * soft

    return loss


def _shapes(model: Model) -> str:
    return f"{model.signature.output} for an input of {model.signature.shape}"
