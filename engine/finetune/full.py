"""Fine-tuning of every weight on the task's own loss (AdamW: Loshchilov and Hutter 2019, arXiv 1711.05101)."""

from engine.context import Context
from engine.model import Model
from engine.train import train
from pith.techniques.finetune.full import FinetuneFull


def apply(model: Model, config: FinetuneFull, ctx: Context) -> Model:
    train(model, ctx.training_data(labels=True), config, ctx.objective(config.label_smoothing).loss, ctx)
    return model
