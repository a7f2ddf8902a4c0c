"""Attention heads removed by measured importance (Michel, Levy and Neubig 2019, arXiv 1905.10650).

The importance of a head is |dL/dm|, averaged over samples, of a factor m = 1 on what the head gives: its output times
the gradient of the loss (their equation 2). Across attentions importances are compared in units of their group's
Euclidean norm, as there. Not covered: heads that a gate learns to close (Voita et al. 2019, arXiv 1905.09418).
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from engine.context import Context
from engine.model import Model
from engine.objective import Batch, Loss
from engine.prune.heads import Attention, HeadGroup, Heads, proven
from engine.selected import ignored
from engine.signature import as_tuple
from engine.train import train
from pith.outlook import Refusal
from pith.techniques.prune.head import PruneHead

_BATCH = 32


def apply(model: Model, config: PruneHead, ctx: Context) -> Model:
    alone = dict.fromkeys(_ignored(model, config, ctx), "it is named in ignore")
    heads = proven(model, alone)
    sizes = ctx.memo.setdefault("heads", {group.key: len(group.units) for group in heads.groups})
    _check(heads, sizes, config, ctx)
    for phase in ctx.phases(config.iterations):
        if not ctx.resuming:
            heads = proven(model, alone) if phase else heads
            heads.remove(chosen(heads, importance(heads, model, config, ctx), config, sizes, phase))
            ctx.events.emit("metric", "heads left", heads=_counts(proven(model, alone)))
        if config.recovery:
            train(model, ctx.training_data(labels=True), config.recovery, ctx.objective().loss, ctx)
    return model


def chosen(
    heads: Heads, importance: dict[int, float], config: PruneHead, sizes: dict[str, int], phase: int = 0
) -> set[int]:
    """The units that go in this phase; ``sizes`` are the units that each group had at first."""
    part = (phase + 1) / config.iterations
    left = {group: config.left(sizes.get(group.key, len(group.units)), part) for group in heads.groups}
    counts = {group: max(0, len(group.units) - left[group]) for group in heads.groups}
    if config.scope == "global":
        return set(_least_of_all(heads.groups, importance, sum(counts.values())))
    return {unit for group, count in counts.items() for unit in _ranked(group, importance)[:count]}


def importance(heads: Heads, model: Model, config: PruneHead, ctx: Context) -> dict[int, float]:
    """Of every unit."""
    if config.importance == "magnitude":
        return heads.channels.importance(2)
    split = ctx.fitting()
    model.place(ctx.device).eval()
    measured = Sensitivity(model, heads.attentions)
    for start in range(0, min(config.samples, len(split)), _BATCH):
        rows = slice(start, min(start + _BATCH, config.samples))
        inputs, labels = split.inputs(rows, model.signature.dtypes()), split.labels(rows)
        placed = tuple(each.to(ctx.device) for each in inputs)
        measured.add(placed, None if labels is None else labels.to(ctx.device), ctx.objective().loss)
    model.at_rest()
    return measured.mean()


class Sensitivity:
    """|head output · gradient of the loss| of each unit, summed over the samples that were added."""

    def __init__(self, model: Model, attentions: Iterable[Attention]) -> None:
        self.model = model
        self.attentions = {each.node: each for each in attentions if each.left_alone is None}
        self.totals: dict[int, float] = {unit: 0.0 for each in self.attentions.values() for unit in each.units}
        self.samples = 0

    def add(self, inputs: tuple[Tensor, ...], labels: Tensor | None, loss: Loss) -> None:
        """``loss`` is a mean over the batch, in which no sample changes another's result."""
        count = len(inputs[0])
        recorder = _Recorder(self.model.graph, set(self.attentions))
        with torch.enable_grad():
            outputs = as_tuple(recorder.run(*inputs))
            total = loss(Batch(outputs, inputs, labels, torch.arange(count), 0, 0)) * count
            values = list(recorder.found.values())
            gradients = torch.autograd.grad(total, values, allow_unused=True)
        products: dict[int, Tensor] = {}
        for name, value, gradient in zip(recorder.found, values, gradients, strict=True):
            if gradient is not None:
                units = self.attentions[name].units
                each = (value * gradient).double().sum((-1, -2)).reshape(count, -1, len(units)).sum(1)
                for index, unit in enumerate(units):
                    products[unit] = products.get(unit, torch.zeros(())) + each[:, index].detach().cpu()
        for unit, product in products.items():
            self.totals[unit] += float(product.abs().sum())
        self.samples += count

    def mean(self) -> dict[int, float]:
        return {unit: total / max(1, self.samples) for unit, total in self.totals.items()}


class _Recorder(fx.Interpreter):
    """Runs a graph and keeps the values of some nodes."""

    def __init__(self, graph: fx.GraphModule, wanted: set[str]) -> None:
        super().__init__(graph)
        self.wanted = wanted
        self.found: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.name in self.wanted:
            self.found[n.name] = result
        return result


def _ignored(model: Model, config: PruneHead, ctx: Context) -> Iterable[str]:
    if not config.ignore:
        return ()
    names = [each.name for each in Heads(model, {}).attentions]
    return ignored(names, config.ignore, ctx)


def _check(heads: Heads, sizes: dict[str, int], config: PruneHead, ctx: Context) -> None:
    if not sizes:
        _raise(config.nothing(heads.left_alone()), ctx)
    if all(config.left(size) == size for size in sizes.values()):
        _raise(config.too_few(), ctx)


def _raise(refusal: Refusal | None, ctx: Context) -> None:
    if refusal is not None:
        raise ctx.inapplicable(refusal.reason, refusal.way_out)


def _counts(heads: Heads) -> dict[str, int]:
    return {each.name: each.heads for each in heads.attentions}


def _ranked(group: HeadGroup, importance: dict[int, float]) -> list[int]:
    return sorted(group.units, key=lambda unit: (importance[unit], unit))


def _least_of_all(groups: Iterable[HeadGroup], importance: dict[int, float], count: int) -> Iterator[int]:
    """The least important of all groups; the most important one of each stays."""
    worth = []
    for group in groups:
        norm = float(np.linalg.norm([importance[unit] for unit in group.units])) or 1.0
        worth += [(importance[unit] / norm, unit) for unit in _ranked(group, importance)[:-1]]
    return (unit for _, unit in sorted(worth)[:count])
