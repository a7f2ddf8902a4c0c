"""Rounding of a whole graph that is learned layer by layer, each after all before it are rounded."""

from collections.abc import Mapping
from typing import get_args

from torch import Tensor

from engine.context import Context
from engine.model import Model, Weighted
from engine.quantize.lowbit.chosen import Chosen
from engine.quantize.lowbit.grid import Grid
from engine.quantize.lowbit.layer import LowBitWeight
from engine.quantize.lowbit.learned import learn
from engine.quantize.lowbit.patches import moments
from engine.quantize.lowbit.walk import walk
from pith.lowbit import MOST_INPUTS, Learned


class Learning:
    """What is learned while two graphs walk side by side. A checkpoint holds the levels of the layers that are done."""

    def __init__(
        self, model: Model, weights: list[Chosen], bits: Mapping[str, int], config: Learned, ctx: Context
    ) -> None:
        self.model, self.rounded = model, model.copy()
        self.weights = {each.name: each for each in weights}
        self.bits, self.config, self.ctx = bits, config, ctx
        self.found: dict[str, LowBitWeight] = {}
        self.done: dict[str, Tensor] = (ctx.take_training() or {}).get("levels", {})

    def run(self, inputs: tuple[Tensor, ...]) -> dict[str, LowBitWeight]:
        """The levels of every weight; ``model`` stays as it is."""
        walk(self.model.graph, self.rounded.graph, inputs, self._visit)
        for name, weight in self.weights.items():
            if name not in self.found:  # a layer that never runs
                self._keep(weight, self._grid(weight).nearest(weight.weight))
        return {name: self.found[name] for name in self.weights}

    def _visit(self, name: str, float_inputs: Tensor, rounded_inputs: Tensor) -> None:
        weight = self.weights.get(name)
        if weight is None:
            return
        self._progress(name, 0.0)
        if name in self.done:
            self._keep(weight, self.done[name])
            return
        layer = self.model.graph.get_submodule(name)
        grid = self._grid(weight)
        if not isinstance(layer, get_args(Weighted)) or weight.weight[0].numel() > MOST_INPUTS:
            self._keep(weight, grid.nearest(weight.weight))
        else:
            seen = moments(layer, float_inputs, rounded_inputs)
            levels = learn(
                weight.weight, weight.axis, grid, seen, self.config.iterations, lambda part: self._progress(name, part)
            )
            self._keep(weight, levels)
        if self.ctx.checkpoints.due():
            self.ctx.save(self.model, {"levels": {done: each.levels for done, each in self.found.items()}})

    def _keep(self, weight: Chosen, levels: Tensor) -> None:
        self.found[weight.name] = LowBitWeight(self._grid(weight), levels)
        layer = self.rounded.graph.get_submodule(weight.name)
        layer.weight.data = self.found[weight.name].real()

    def _grid(self, weight: Chosen) -> Grid:
        return weight.grid(self.bits[weight.name], self.config.group_size)

    def _progress(self, name: str, part: float) -> None:
        self.ctx.progress((len(self.found) + part) / len(self.weights), f"rounding of {name}")
