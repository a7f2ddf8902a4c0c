"""Distillation of softened outputs (Hinton, Vinyals and Dean 2015, arXiv 1503.02531)."""

from engine.context import Context
from engine.distill.lesson import taught
from engine.model import Model
from pith.techniques.distill.logits import DistillLogits


def apply(model: Model, config: DistillLogits, ctx: Context) -> Model:
    """Match the teacher's first output: by the divergence of the softened scores where they are scores of classes,
    else (regression, embedding) by the mean squared error between both models' outputs."""
    return taught(model, config, ctx)
