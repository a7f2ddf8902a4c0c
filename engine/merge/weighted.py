"""Several models side by side, their outputs averaged (Hansen and Salamon 1990)."""

from engine.context import Context
from engine.merge.ensemble import Mixture, members, scores, side_by_side
from engine.model import Model
from pith.techniques.merge.weighted import MergeWeighted


def apply(model: Model, config: MergeWeighted, ctx: Context) -> Model:
    found = members(model, config, ctx)
    weights = config.weights or (1.0,) * len(found)
    kept = [(member, weight) for member, weight in zip(found, weights, strict=True) if weight]
    probabilities = config.average == "probabilities" and scores(model, ctx)
    return side_by_side([member for member, _ in kept], Mixture([weight for _, weight in kept], probabilities))
