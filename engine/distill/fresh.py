"""Every weight of a model drawn anew from a seed, its shape kept."""

import torch
from torch import nn

from engine.model import Model


@torch.no_grad()
def refresh(model: Model, seed: int) -> Model:
    """In place. Each layer is initialised as its class does it. A tensor of the graph's own, such as a learned
    position, is drawn with the mean and the deviation that it had, and stays where it has one dimension."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in model.graph.modules():
            again = getattr(module, "reset_parameters", None)
            if callable(again):
                again()
            else:
                _redraw(module)
    return model


def _redraw(module: nn.Module) -> None:
    for parameter in module.parameters(recurse=False):
        if parameter.ndim > 1:
            parameter.normal_(float(parameter.mean()), float(parameter.std()))
