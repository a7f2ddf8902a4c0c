"""TIES-Merging (Yadav et al. 2023, arXiv 2306.01708, algorithm 1): trim, elect the sign, merge what agrees."""

import torch
from torch import Tensor

from engine.context import Context
from engine.merge.task_arithmetic import start_and_tasks
from engine.merge.weights import merged, parameters
from engine.model import Model
from pith.techniques.merge.ties import MergeTies


def apply(model: Model, config: MergeTies, ctx: Context) -> Model:
    base, tasks = start_and_tasks(model, config, ctx)
    least = [threshold(_differences(base, task), config.density) for task in tasks]

    def combine(name: str, values: list[Tensor]) -> Tensor:
        start, *learnt = values
        kept = [trimmed(value - start, limit) for value, limit in zip(learnt, least, strict=True)]
        return start + config.scale * agreed(torch.stack(kept))

    return merged([base, *tasks], combine, [0.0] + [1.0] * len(tasks), ctx)


def _differences(base: Model, task: Model) -> Tensor:
    """The whole task vector, flat; tied weights count once."""
    names = [name for name, _ in base.graph.named_parameters()]
    here, there = parameters(base), parameters(task)
    return torch.cat([(there[name].double() - here[name].double()).flatten() for name in names if name in here])


def threshold(differences: Tensor, density: float) -> float:
    """The smallest magnitude among the largest ``density`` of them, and at least one."""
    kept = max(1, round(density * differences.numel()))
    return float(differences.abs().kthvalue(differences.numel() - kept + 1).values)


def trimmed(differences: Tensor, least: float) -> Tensor:
    """Differences smaller than the threshold become zero."""
    return torch.where(differences.abs() >= least, differences, 0.0)


def agreed(kept: Tensor) -> Tensor:
    """For each weight the mean of those differences, of shape (tasks, …), whose sign is that of their sum.

    γ = sgn(Σₜ τₜ); the mean runs over {t : sgn(τₜ) = γ} and is zero where nothing was kept, or the sum is zero.
    """
    sign = kept.sum(0).sign()
    agrees = (kept.sign() == sign) & (kept != 0)
    return torch.where(agrees, kept, 0.0).sum(0) / agrees.sum(0).clamp(min=1)
