"""Averages of weights: uniform, weighted, and the greedy soup (Wortsman et al. 2022, arXiv 2203.05482, recipe 1)."""

from collections.abc import Callable, Sequence

from engine.context import Context
from engine.merge.weights import check_alike, merged, others, weighted_mean
from engine.model import Model
from pith.techniques.merge.average import MergeAverage


def apply(model: Model, config: MergeAverage, ctx: Context) -> Model:
    found = others(config, ctx)
    check_alike(model, found)
    models = [model, *found.values()]
    if config.method == "greedy":
        return _greedy(models, ("the step's own model", *config.peers), ctx)
    return soup(models, config.weights or (1.0,) * len(models), ctx)


def soup(models: Sequence[Model], shares: Sequence[float], ctx: Context) -> Model:
    """The mean of the weights, each model with its share."""
    return merged(models, weighted_mean(shares), shares, ctx)


def _greedy(models: Sequence[Model], names: Sequence[str], ctx: Context) -> Model:
    scores = [ctx.judge(model) for model in models]
    chosen, best = greedy(models, scores, lambda some: _judged(some, ctx))
    said = [f"{names[index]} {scores[index]:.4f}{', in' * (index in chosen)}" for index in range(len(models))]
    ctx.note(f"In the soup are {len(chosen)} of {len(models)}; on the validation split: {'; '.join(said)}.")
    return best


def _judged(models: Sequence[Model], ctx: Context) -> tuple[float, Model]:
    found = soup(models, (1.0,) * len(models), ctx)
    return ctx.judge(found), found


def greedy(
    models: Sequence[Model], scores: Sequence[float], average: Callable[[Sequence[Model]], tuple[float, Model]]
) -> tuple[list[int], Model]:
    """Best first, each model stays in the soup if that is no worse for it. Places of those in it, and the soup.

    ``average(models)`` gives a soup with its score, higher being better.
    """
    order = sorted(range(len(models)), key=lambda index: -scores[index])
    chosen, best, score = order[:1], models[order[0]], scores[order[0]]
    for index in order[1:]:
        reached, found = average([models[each] for each in (*chosen, index)])
        if reached >= score:
            chosen, best, score = [*chosen, index], found, reached
    return chosen, best
