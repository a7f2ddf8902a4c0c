"""How good a model is, in one number, on samples that are not the test split: for choices, and never for the report."""

import torch

from engine.data import Split
from engine.model import Model
from engine.objective import Objective
from engine.pieces import ran_out, tidy

SAMPLES = 256


@torch.no_grad()
def judge(model: Model, split: Split, objective: Objective, device: torch.device) -> float:
    """Accuracy, or minus the mean cost of a sample for tasks without classes; higher is better.

    The model is run where it is and as it is, in eval mode for the time being, on fewer samples at once when memory
    runs out; ``split`` must have labels.
    """
    was_training = model.lifted is not None and model.graph.training
    if model.lifted is not None:
        model.graph.eval()
    total, start, most = 0.0, 0, SAMPLES
    while start < len(split):
        found = _points(model, split, slice(start, start + most), objective, device, last=most == 1)
        if found is None:
            tidy()
            most //= 2
        else:
            total, start = total + found, start + most
    if was_training:
        model.graph.train()
    return total / len(split)


def _points(
    model: Model, split: Split, rows: slice, objective: Objective, device: torch.device, last: bool
) -> float | None:
    """The sum over these samples; None when memory ran out, unless that was the ``last`` try."""
    try:
        inputs = tuple(each.to(device) for each in split.inputs(rows, model.signature.dtypes()))
        labels = split.labels(rows)
        assert labels is not None
        first = model.run(inputs)[0].float()
        return _right(first, labels.to(device)) if objective.classes else -_cost(objective, first, labels)
    except (RuntimeError, MemoryError) as error:
        if last or not ran_out(error):
            raise
        return None


def _right(scores: torch.Tensor, labels: torch.Tensor) -> float:
    return float((scores.argmax(1) == labels).sum())


def _cost(objective: Objective, first: torch.Tensor, labels: torch.Tensor) -> float:
    return float(objective.cost(first.cpu(), labels).double().sum())
