"""Distillation of softened outputs (Hinton, Vinyals and Dean 2015, arXiv 1503.02531)."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from engine.context import Context
from engine.model import Model
from engine.objective import Batch, Loss
from engine.train import train
from pith.errors import PithError
from pith.techniques.distill.logits import DistillLogits


def apply(model: Model, config: DistillLogits, ctx: Context) -> Model:
    """Match the teacher's first output: by the divergence of the softened scores where they are scores of classes,
    else (regression, embedding) by the mean squared error between both models' outputs."""
    teacher = ctx.teacher(config.teacher)
    if _ends(teacher) != _ends(model):
        raise PithError("teacher_mismatch", teacher=_shapes(teacher), student=_shapes(model))
    split = ctx.training_data(labels=False)
    objective = ctx.objective()
    scores = objective.classes and model.signature.class_scores()
    soft = partial(softened, temperature=config.temperature) if scores else functional.mse_loss
    train(model, split, config, _loss(teacher, soft, objective.loss, config.hard_label_weight), ctx)
    return model


def softened(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(softmax(teacher / T) ‖ softmax(student / T)), averaged over the batch (equation 2 and section 2.1)."""
    wanted = functional.log_softmax(teacher.float() / temperature, dim=-1)
    given = functional.log_softmax(student.float() / temperature, dim=-1)
    return functional.kl_div(given, wanted, reduction="batchmean", log_target=True) * temperature**2


def _loss(teacher: Model, soft: Callable[[Tensor, Tensor], Tensor], hard: Loss, hard_weight: float) -> Loss:
    def loss(batch: Batch) -> Tensor:
        with torch.no_grad():
            wanted = teacher.run(batch.inputs)[0]
        matched = soft(batch.outputs[0].float(), wanted.float())
        if batch.labels is None or hard_weight == 0:
            return matched
        return hard_weight * hard(batch) + (1 - hard_weight) * matched

    return loss


def _ends(model: Model) -> tuple[object, ...]:
    """What must be alike: the inputs without their batch, and the first output."""
    inputs = tuple((spec.shape[1:], spec.dtype) for spec in model.signature.inputs)
    return inputs, model.signature.outputs[0].shape


def _shapes(model: Model) -> str:
    inputs = " and ".join(str(spec.shape) for spec in model.signature.inputs)
    return f"{model.signature.outputs[0].shape} for an input of {inputs}"
