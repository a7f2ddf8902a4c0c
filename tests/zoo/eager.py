"""The model as its author has it: built from a seed, no two channels alike, exported to a file."""

import copy
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from tests.zoo.entry import Entry


def built(entry: Entry) -> nn.Module:
    """In eval mode. Weights that start as all zeros or all ones are stirred, batch norms have seen some data."""
    torch.backends.mha.set_fastpath_enabled(False)  # it computes the same in another order, and only without gradients
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = entry.build()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all()):
                start = 1.0 if float(parameter.flatten()[0]) > 0.5 else 0.0
                parameter.copy_(start + 0.1 * torch.randn_like(parameter))
        net.train()
        for _ in range(3):
            net(*entry.inputs(4))
    return net.eval()


def still(net: nn.Module) -> nn.Module:
    """A copy in train mode whose dropouts drop nothing."""
    net = copy.deepcopy(net).train()
    for module in net.modules():
        if isinstance(module, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d):
            module.p = 0.0
        if isinstance(module, nn.RNNBase):
            module.dropout = 0.0
    return net


def export(net: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> ExportedProgram:
    """As the guide tells: eval mode, the first dimension of every input dynamic."""
    batch = Dim("batch")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(net, inputs, dynamic_shapes=tuple({0: batch} for _ in inputs))
        torch.export.save(program, path)
    return program


def outputs(given: Tensor | tuple[Tensor, ...] | list[Tensor]) -> tuple[Tensor, ...]:
    return (given,) if isinstance(given, Tensor) else tuple(given)
