"""How each operator that has weights becomes a module again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

aten = torch.ops.aten


@dataclass(frozen=True)
class Layer:
    """How one operator becomes a module: which arguments are its tensors, and how the rest builds it.

    ``kinds`` are the modules that call it, ``bare`` says whether it is a layer of its own without any tensor.
    """

    tensors: tuple[str, ...]
    build: Callable[[dict[str, Any], dict[str, torch.Tensor]], nn.Module]
    kinds: tuple[str, ...] = ("Layer",)
    bare: bool = False


def _size(value: Any, dims: int) -> tuple[int, ...]:
    return tuple(value) * dims if len(value) == 1 else tuple(value)


def _conv(kind: type[nn.Module], dims: int, transposed: bool = False) -> Layer:
    def build(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
        weight, groups = tensors["weight"], args["groups"]
        padding = args["padding"] if isinstance(args["padding"], str) else _size(args["padding"], dims)
        extra = {"output_padding": _size(args["output_padding"], dims)} if transposed else {}
        inner, outer = (0, 1) if transposed else (1, 0)
        return kind(
            weight.shape[inner] * (1 if transposed else groups),
            weight.shape[outer] * (groups if transposed else 1),
            tuple(weight.shape[2:]),
            stride=_size(args["stride"], dims),
            padding=padding,
            dilation=_size(args["dilation"], dims),
            groups=groups,
            bias="bias" in tensors,
            device="meta",
            **extra,
        )

    return Layer(("weight", "bias"), build)


def _linear(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
    outer, inner = tensors["weight"].shape
    return nn.Linear(inner, outer, bias="bias" in tensors, device="meta")


def _batch_norm(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
    width = next(iter(tensors.values())).shape[0]
    tracked = "running_mean" in tensors
    kind = {4: nn.BatchNorm2d, 5: nn.BatchNorm3d}.get(args["rank"], nn.BatchNorm1d)
    return kind(width, args["eps"], args["momentum"], affine="weight" in tensors, track_running_stats=tracked)


def _layer_norm(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
    return nn.LayerNorm(
        list(args["normalized_shape"]), args["eps"], elementwise_affine="weight" in tensors, bias="bias" in tensors
    )


def _group_norm(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
    width = tensors["weight"].shape[0] if tensors else args["channels"]
    return nn.GroupNorm(args["num_groups"], width, args["eps"], affine=bool(tensors))


def _instance_norm(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
    width = next(iter(tensors.values())).shape[0] if tensors else args["channels"]
    kind = {4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}.get(args["rank"], nn.InstanceNorm1d)
    return kind(
        width, args["eps"], args["momentum"], affine="weight" in tensors, track_running_stats="running_mean" in tensors
    )


def _rms_norm(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
    return nn.RMSNorm(list(args["normalized_shape"]), args["eps"], elementwise_affine="weight" in tensors)


def _prelu(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
    return nn.PReLU(tensors["weight"].numel())


def _embedding(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
    count, width = tensors["weight"].shape
    padding = args["padding_idx"] if args["padding_idx"] >= 0 else None
    return nn.Embedding(count, width, padding_idx=padding, device="meta")


def _dropout(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
    return nn.Dropout(args["p"])


def _feature_dropout(args: dict[str, Any], tensors: dict[str, torch.Tensor]) -> nn.Module:
    return nn.Dropout2d(args["p"])


LAYERS: dict[Any, Layer] = {
    aten.conv1d.default: _conv(nn.Conv1d, 1),
    aten.conv1d.padding: _conv(nn.Conv1d, 1),
    aten.conv2d.default: _conv(nn.Conv2d, 2),
    aten.conv2d.padding: _conv(nn.Conv2d, 2),
    aten.conv3d.default: _conv(nn.Conv3d, 3),
    aten.conv3d.padding: _conv(nn.Conv3d, 3),
    aten.conv_transpose1d.default: _conv(nn.ConvTranspose1d, 1, transposed=True),
    aten.conv_transpose2d.input: _conv(nn.ConvTranspose2d, 2, transposed=True),
    aten.conv_transpose3d.input: _conv(nn.ConvTranspose3d, 3, transposed=True),
    aten.linear.default: Layer(("weight", "bias"), _linear),
    aten.batch_norm.default: Layer(("weight", "bias", "running_mean", "running_var"), _batch_norm),
    aten.layer_norm.default: Layer(("weight", "bias"), _layer_norm, ("LayerNorm",), bare=True),
    aten.group_norm.default: Layer(("weight", "bias"), _group_norm, ("GroupNorm",), bare=True),
    aten.embedding.default: Layer(("weight",), _embedding),
    aten.instance_norm.default: Layer(
        ("weight", "bias", "running_mean", "running_var"),
        _instance_norm,
        ("InstanceNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"),
        bare=True,
    ),
    aten.rms_norm.default: Layer(("weight",), _rms_norm, ("RMSNorm",), bare=True),
    aten.prelu.default: Layer(("weight",), _prelu),
    aten.dropout.default: Layer((), _dropout, ("Dropout",)),
    aten.dropout_.default: Layer((), _dropout, ("Dropout",)),
    aten.feature_dropout.default: Layer((), _feature_dropout, ("Dropout2d", "Dropout1d", "Dropout3d")),
}
