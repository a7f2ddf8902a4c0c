"""Whole blocks removed by measured importance, greedily: after each removal all others are measured again.

By the loss on held-out samples without the block (Song et al. 2024, arXiv 2402.09025), or by block influence, one minus
the cosine of what a block reads and what it gives, averaged over places (Men et al. 2024, arXiv 2403.03853, eq. 1).
"""

from collections.abc import Sequence
from fnmatch import fnmatch

import torch
from torch import Tensor
from torch.nn import functional

from engine.context import Context
from engine.data import Split
from engine.model import Model
from engine.objective import Batch
from engine.prune.blocks import Block, blocks, without
from engine.selected import refuse_unmatched
from engine.signature import as_tuple
from engine.taps import Tap, tapped
from engine.train import train
from pith.techniques.prune.layer import PruneLayer

_BATCH = 64


def apply(model: Model, config: PruneLayer, ctx: Context) -> Model:
    count = ctx.memo["count"] if "count" in ctx.memo else _count(model, config, ctx)
    ctx.memo["count"] = count
    gone: list[str] = ctx.memo.setdefault("gone", [])
    for phase in ctx.phases(config.iterations):
        while not ctx.resuming and len(gone) < round(count * (phase + 1) / config.iterations):
            scores = importance(model, _free(blocks(model), config), config, ctx)
            least = min(scores, key=lambda block: scores[block])
            without(model, [least])
            gone.append(least.name)
            ctx.events.emit("metric", f"block {least.name} removed", importance=scores[least], left=len(scores) - 1)
        if config.recovery:
            train(model, ctx.training_data(labels=True), config.recovery, ctx.objective().loss, ctx)
    ctx.note(f"Removed the blocks {', '.join(gone)}, in this order.")
    return model


def importance(model: Model, found: Sequence[Block], config: PruneLayer, ctx: Context) -> dict[Block, float]:
    """Of every block."""
    split = ctx.validation()
    samples = min(config.samples, len(split))
    if config.importance == "similarity":
        return dict(zip(found, influence(model, found, split, samples, ctx.device), strict=True))
    return {block: loss_of(without(model.copy(), [block]), split, samples, ctx) for block in found}


@torch.no_grad()
def loss_of(model: Model, split: Split, samples: int, ctx: Context) -> float:
    """The task's mean loss over the first so many samples."""
    loss, total = ctx.objective().loss, 0.0
    model.place(ctx.device).eval()
    for start in range(0, samples, _BATCH):
        rows = slice(start, min(start + _BATCH, samples))
        inputs = _inputs(model, split, rows, ctx.device)
        labels, count = split.labels(rows), rows.stop - start
        given = None if labels is None else labels.to(ctx.device)
        total += count * float(loss(Batch(model.run(inputs), inputs, given, torch.arange(start, rows.stop), 0, 0)))
    model.at_rest()
    return total / samples


@torch.no_grad()
def influence(
    model: Model, found: Sequence[Block], split: Split, samples: int, device: torch.device
) -> tuple[float, ...]:
    """1 - cos(x, y) of what each block reads and gives, the mean over samples and places of the sample."""
    model.place(device).eval()
    outputs = len(model.signature.outputs)
    graph = tapped(model, [Tap(node) for block in found for node in (block.entry, block.exit)])
    totals = [0.0] * len(found)
    for start in range(0, samples, _BATCH):
        rows = slice(start, min(start + _BATCH, samples))
        values = as_tuple(graph(*_inputs(model, split, rows, device)))[outputs:]
        for index, block in enumerate(found):
            read, given = values[2 * index : 2 * index + 2]
            cosine = functional.cosine_similarity(read, given, dim=_channels(model, block))
            totals[index] += float(1 - cosine.double().mean()) * (rows.stop - start)
    model.at_rest()
    return tuple(total / samples for total in totals)


def _channels(model: Model, block: Block) -> int:
    """The dimension of the features: the second behind convolutions, else the last."""
    convolved = any(
        isinstance(model.graph.get_submodule(name), torch.nn.Conv1d | torch.nn.Conv2d) for name in block.layers
    )
    return 1 if convolved and len(block.shape) > 2 else -1


def _inputs(model: Model, split: Split, rows: slice, device: torch.device) -> tuple[Tensor, ...]:
    return tuple(each.to(device) for each in split.inputs(rows, model.signature.dtypes()))


def _free(found: Sequence[Block], config: PruneLayer) -> list[Block]:
    return [block for block in found if not any(fnmatch(block.name, pattern) for pattern in config.ignore)]


def _count(model: Model, config: PruneLayer, ctx: Context) -> int:
    """How many blocks go.

    Raises:
        PithError: ``technique_inapplicable``.
    """
    found = blocks(model)
    free = len(_free(found, config))
    names = [block.name for block in found]
    refuse_unmatched(config.ignore, names, "ignore", ctx)
    refusal = config.refused(free)
    if refusal is not None:
        raise ctx.inapplicable(refusal.reason, refusal.way_out)
    return config.count(free)
