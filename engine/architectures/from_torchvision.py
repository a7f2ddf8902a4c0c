"""torchvision's classification models under ``torchvision/``, without their weights."""

import inspect
from typing import Any

import torch
from torch import nn
from torchvision import models

from engine.architectures.library import Use, noise
from engine.quiet import quiet
from pith.architecture_arguments import refused
from pith.dataset import ImagePreprocessing

_SIZE, _RESIZE = 224, 256


def names() -> list[str]:
    """Every classification model of torchvision."""
    return list(models.list_models(module=models))


def accepted(name: str) -> list[str]:
    """What the model's class takes."""
    with quiet(), torch.device("meta"):
        taken = inspect.signature(type(models.get_model(name, weights=None))).parameters.values()
    plain = (one.name for one in taken if one.kind is not inspect.Parameter.VAR_KEYWORD)
    return sorted(one for one in plain if not refused(one))


def make(name: str, arguments: dict[str, Any], shape: tuple[int, ...] | None) -> nn.Module:
    """The model; a transformer's picture size follows from the shape."""
    if shape is not None and name.startswith(("vit_", "maxvit")):
        key, size = ("image_size", shape[-1]) if name.startswith("vit_") else ("input_size", shape[1:])
        arguments = {key: size, **arguments}
    module: nn.Module = models.get_model(name, weights=None, **arguments)
    return module


def use(name: str, module: nn.Module, arguments: dict[str, Any], shape: tuple[int, ...] | None) -> Use:
    """The crop, mean and standard deviation of the model's published weights."""
    transform = models.get_model_weights(name).DEFAULT.transforms
    told = getattr(transform, "keywords", {})
    size = arguments.get("image_size", told.get("crop_size", _SIZE))
    height, width = shape[1:] if shape else (size, size)
    preprocessing = ImagePreprocessing(
        size=(height, width),
        resize=told.get("resize_size", _RESIZE) if (height, width) == (size, size) else None,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    return Use((noise(3, height, width),), ("image",), "image-classification", preprocessing)
