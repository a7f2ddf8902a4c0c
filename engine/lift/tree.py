"""Modules and tensors under dotted paths."""

import torch
from torch import nn


def fetch(root: nn.Module, path: str) -> torch.Tensor:
    parent, _, leaf = path.rpartition(".")
    tensor: torch.Tensor = getattr(root.get_submodule(parent), leaf)
    return tensor


def install(root: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, leaf = path.rpartition(".")
    _container(root, parent).add_module(leaf, module)


def install_tensor(root: nn.Module, path: str, tensor: torch.Tensor) -> None:
    parent, _, leaf = path.rpartition(".")
    holder = _container(root, parent)
    if not hasattr(holder, leaf):
        replace(holder, leaf, tensor)


def _container(root: nn.Module, path: str) -> nn.Module:
    for name in filter(None, path.split(".")):
        if name not in root._modules:
            root.add_module(name, nn.Module())
        root = root.get_submodule(name)
    return root


def replace(module: nn.Module, name: str, tensor: torch.Tensor) -> None:
    if isinstance(tensor, nn.Parameter):
        module._buffers.pop(name, None)
        tensor.requires_grad_(tensor.is_floating_point())
        module.register_parameter(name, tensor)
    else:
        module._parameters.pop(name, None)
        module.register_buffer(name, tensor)
