"""Sums of task vectors (Ilharco et al. 2022, arXiv 2212.04089): θ = θ_base + Σ λᵢ (θᵢ - θ_base)."""

from collections.abc import Sequence

from torch import Tensor

from engine.context import Context
from engine.merge.weights import check_alike, merged, others
from engine.model import Model
from pith.task_vectors import TaskVectors
from pith.techniques.merge.task_arithmetic import MergeTaskArithmetic


def apply(model: Model, config: MergeTaskArithmetic, ctx: Context) -> Model:
    base, tasks = start_and_tasks(model, config, ctx)
    factors = config.factors()

    def combine(name: str, values: list[Tensor]) -> Tensor:
        return shifted(values[0], values[1:], factors)

    return merged([base, *tasks], combine, shares(factors), ctx)


def start_and_tasks(model: Model, config: TaskVectors, ctx: Context) -> tuple[Model, list[Model]]:
    """The common start, and the models that were fine-tuned from it.

    Raises:
        PithError: as ``others``, and ``merge_mismatch``.
    """
    named = others(config, ctx)
    check_alike(model, named)
    tuned = [named[name] for name in config.peers]
    return (model, tuned) if config.base is None else (named[config.base], [model, *tuned])


def shifted(base: Tensor, tasks: Sequence[Tensor], factors: Sequence[float]) -> Tensor:
    """The base, and each task's difference to it times its factor."""
    total = base
    for task, factor in zip(tasks, factors, strict=True):
        total = total + factor * (task - base)
    return total


def shares(factors: Sequence[float]) -> list[float]:
    """How statistics are averaged, which must not become negative: tasks that are added, and the base for the rest."""
    added = [max(factor, 0.0) for factor in factors]
    return [max(1 - sum(added), 0.0), *added]
