"""timm's models under ``timm/``, without their weights."""

import inspect
from typing import Any, Final

import timm
import torch
from torch import nn

from engine.architectures.library import Use, noise
from engine.quiet import quiet
from pith.architecture_arguments import refused
from pith.dataset import ImagePreprocessing

_COMMON: Final = ("num_classes", "in_chans", "drop_rate", "drop_path_rate", "global_pool")


def names() -> list[str]:
    """Every model that timm can make."""
    return list(timm.list_models())


def accepted(name: str) -> list[str]:
    """What the model's class takes, as far as its signature says."""
    with quiet(), torch.device("meta"):
        taken = inspect.signature(type(timm.create_model(name))).parameters.values()
    plain = [one.name for one in taken if one.kind is not inspect.Parameter.VAR_KEYWORD]
    return sorted({one for one in (*plain, *_COMMON) if not refused(one)})


def make(name: str, arguments: dict[str, Any], shape: tuple[int, ...] | None) -> nn.Module:
    """The model; where it has a fixed picture size, the shape sets it."""
    if shape is not None and len(shape) == 3:
        arguments = {"in_chans": shape[0], **arguments}
        if _is_sized(name) and tuple(config(name).get("input_size", ())[1:]) != shape[1:]:
            arguments = {"img_size": shape[1:], **arguments}
    module: nn.Module = timm.create_model(name, pretrained=False, **arguments)
    return module


def use(name: str, module: nn.Module, arguments: dict[str, Any], shape: tuple[int, ...] | None) -> Use:
    """The size, mean and standard deviation that timm has for the model."""
    own: dict[str, Any] = module.pretrained_cfg  # type: ignore[assignment]
    channels, height, width = shape or own["input_size"]
    if shape is None:
        channels = arguments.get("in_chans", channels)
        height, width = _pair(arguments.get("img_size", (height, width)))
    task = "embedding" if arguments.get("num_classes") == 0 else "image-classification"
    preprocessing = None
    if channels in (1, 3):
        preprocessing = ImagePreprocessing(
            size=(height, width),
            resize=_resize(min(height, width), own.get("crop_pct")),
            channels=channels,
            mean=tuple(own["mean"][:channels]),
            std=tuple(own["std"][:channels]),
        )
    return Use((noise(channels, height, width),), ("image",), task, preprocessing)  # type: ignore[arg-type]


def config(name: str) -> dict[str, Any]:
    """What timm has for the model: classes, size, mean and standard deviation."""
    own = timm.get_pretrained_cfg(name)
    found: dict[str, Any] = own.to_dict() if own else {}  # type: ignore[no-untyped-call]
    return found


def _is_sized(name: str) -> bool:
    return bool(config(name).get("fixed_input_size"))


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _resize(size: int, crop: float | None) -> int | None:
    return round(size / crop) if crop and crop < 1 else None
