"""Fine-tuning of some layers: frozen by pattern, thawed block by block, each block at a rate of its own.

Gradual unfreezing and discriminative rates: Howard and Ruder 2018, arXiv 1801.06146 (ULMFiT), sections 3.2 and 3.3.
"""

from engine.context import Context
from engine.freezing import Rate, blocks, named, owner, owners
from engine.model import Model
from engine.train import Aids, train
from pith.techniques.finetune.partial import NOTHING, FinetunePartial


def apply(model: Model, config: FinetunePartial, ctx: Context) -> Model:
    """
    Raises:
        PithError: ``technique_inapplicable`` for a pattern without a layer, or where nothing would learn.
    """
    objective, split = ctx.objective(config.label_smoothing), ctx.training_data(labels=True)
    wanted = named(model, config.train, "train", ctx) if config.train else set(owners(model))
    wanted -= named(model, config.freeze, "freeze", ctx)
    learning = [found for block in blocks(model) if (found := [layer for layer in block if layer in wanted])]
    if not learning:
        raise ctx.inapplicable(NOTHING, "shorten freeze or name more in train")
    train(model, split, config, objective.loss, ctx, Aids(rate=rates(learning, config)))
    return model


def rates(learning: list[list[str]], config: FinetunePartial) -> Rate:
    """``layer_decay ** d`` for the block that is d blocks before the last one, from epoch ``d * unfreeze_every`` on."""
    depths = {layer: depth for depth, block in enumerate(reversed(learning)) for layer in block}

    def rate(name: str, epoch: int) -> float:
        depth = depths.get(owner(name))
        if depth is None or epoch < depth * (config.unfreeze_every or 0):
            return 0.0
        return config.layer_decay**depth

    return rate
