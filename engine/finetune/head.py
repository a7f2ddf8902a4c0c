"""A new output layer for a new task, then training of it and of as much of the network as is wanted.

Transfer by layers: Yosinski, Clune, Bengio and Lipson 2014, arXiv 1411.1792. The head first, then all (LP-FT): Kumar,
Raghunathan, Jones, Ma and Liang 2022, arXiv 2202.10054.
"""

from collections.abc import Iterable

from engine.context import Context
from engine.finetune.labels import outputs_for
from engine.freezing import named, owners, rate_after
from engine.head import output_layers, replace_head
from engine.model import Model
from engine.randomness import stream
from engine.train import Aids, train
from pith.techniques.finetune.head import FinetuneHead


def apply(model: Model, config: FinetuneHead, ctx: Context) -> Model:
    """
    Raises:
        PithError: ``head_not_found``, or ``technique_inapplicable`` for classes or patterns that do not fit.
    """
    split, objective = ctx.training_data(labels=True), ctx.objective(config.label_smoothing)
    if config.train != "head" and config.head_epochs >= config.epochs:
        reason = f"head_epochs is {config.head_epochs} of {config.epochs} epochs, so nothing but the head would learn"
        raise ctx.inapplicable(reason, 'lower it, or set train to "head"')
    if not ctx.resuming:
        model = replace_head(model, outputs_for(config.classes, ctx), stream(ctx.spec.seed, ctx.step))
    head = output_layers(model.graph)
    aids = Aids(rate=rate_after(head, config.head_epochs, _besides(model, config, ctx)))
    train(model, split, config, objective.loss, ctx, aids)
    return model


def _besides(model: Model, config: FinetuneHead, ctx: Context) -> Iterable[str]:
    """What learns besides the head."""
    if isinstance(config.train, str):
        return owners(model) if config.train == "all" else ()
    return named(model, config.train, "train", ctx)
