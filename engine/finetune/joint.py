"""A new task beside the old one, with the old data or without it.

Without: learning without forgetting, Li and Hoiem 2016, arXiv 1606.09282.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from engine.batches import layout_of
from engine.context import Context
from engine.data.fits import check_labels
from engine.distill.losses import softened
from engine.finetune.labels import outputs_for
from engine.finetune.second import Drawn, other_data, view_seed
from engine.finetune.second_head import Still, with_second_head
from engine.freezing import owners, rate_after
from engine.head import output_layers
from engine.model import Model
from engine.objective import Batch, Objective
from engine.objective import objective as objective_of
from engine.randomness import stream
from engine.train import Aids, train
from pith.techniques.finetune.joint import HEADLESS, FinetuneJoint, all_head

Old = Callable[[Batch], Tensor]
"""The loss of the old task, for a batch of the new one."""


def apply(model: Model, config: FinetuneJoint, ctx: Context) -> Model:
    """
    Raises:
        PithError: ``head_not_found``, ``technique_inapplicable``, or a ``dataset_…`` code of the old data.
    """
    split, objective = ctx.training_data(labels=True), ctx.objective(config.label_smoothing)
    _check_epochs(config, ctx)
    new = config.classes == "new"
    if new and not ctx.resuming:
        model = with_second_head(model, outputs_for(None, ctx), stream(ctx.spec.seed, ctx.step))
    place = len(model.signature.outputs) - 1 if new else 0
    aids = Aids(rate=rate_after(output_layers(model.graph), config.head_epochs, owners(model)))
    if config.old_dataset is not None:
        old = _by_labels(model, config, ctx, place)
    else:
        before = model.copy()
        before.place(ctx.device, layout_of(model))
        aids = Aids(rate=aids.rate, helpers=Still(before.graph))
        old = _by_outputs(before, config, objective, place)

    def loss(batch: Batch) -> Tensor:
        return objective.loss(batch) + config.old_weight * old(batch)

    train(model, split, config, loss, ctx, aids)
    return model


def _by_outputs(before: Model, config: FinetuneJoint, objective: Objective, place: int) -> Old:
    """What the model gave for the same samples when the step began (equations 2 and 3, as a divergence)."""
    shape = before.signature.outputs[place].shape
    scores = objective.classes and len(shape) == 2 and (shape[1] or 0) > 1

    def loss(batch: Batch) -> Tensor:
        with torch.no_grad():
            wanted = before.run(batch.inputs)[place].float()
        given = batch.outputs[place].float()
        return softened(given, wanted, config.temperature) if scores else functional.mse_loss(given, wanted)

    return loss


def _by_labels(model: Model, config: FinetuneJoint, ctx: Context, place: int) -> Old:
    """The labels of the old dataset, for a batch of its own."""
    assert config.old_dataset is not None
    other, split = other_data(config.old_dataset, "old_dataset", True, model, ctx)
    assert split.y is not None
    answering = model.signature.outputs[place]
    check_labels("the training split of old_dataset", split.y, replace(model.signature, outputs=(answering,)))
    drawn, task = Drawn(split, config.batch_size, model, ctx), objective_of(other, config.label_smoothing)

    def loss(batch: Batch) -> Tensor:
        inputs, labels = drawn(batch.epoch, batch.index)
        if ctx.augmenter is not None:
            seed = view_seed(ctx, batch.epoch, batch.index, 0)
            inputs, labels = ctx.augmenter(inputs, labels, seed, answering.shape[-1] or 0)
        given = (model.run(inputs)[place],)
        return task.loss(Batch(given, inputs, labels, batch.rows, batch.epoch, batch.index))

    return loss


def _check_epochs(config: FinetuneJoint, ctx: Context) -> None:
    if config.head_epochs and config.classes == "same":
        raise ctx.inapplicable(HEADLESS, "leave it out")
    if config.head_epochs >= config.epochs:
        raise ctx.inapplicable(all_head(config.head_epochs, config.epochs), "lower it")
