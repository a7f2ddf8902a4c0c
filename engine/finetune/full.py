"""Fine-tuning of every weight with cross-entropy (AdamW: Loshchilov and Hutter 2019, arXiv 1711.05101)."""

from engine.context import Context
from engine.model import Model
from engine.train import cross_entropy, train
from pith.finetune import FinetuneFull


def apply(model: Model, config: FinetuneFull, ctx: Context) -> Model:
    train(model, ctx.training_data(labels=True), config, cross_entropy(config.label_smoothing), ctx)
    return model
