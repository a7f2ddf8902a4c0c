"""The classics that are built in, under ``pith/``."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

import torch
from torch import nn

from engine.architectures.classics import (
    CifarResNet,
    DsCnn,
    LeNet5,
    LeNet300,
    Mlp,
    Recurrent,
    SmallVgg,
    TextCnn,
)
from engine.architectures.library import Use, noise
from pith.dataset import AudioPreprocessing, ImagePreprocessing, Preprocessing, TextPreprocessing
from pith.task import Task

_TOKENS: Final = 16
_RECURRENT_TOKENS: Final = 64
_RECURRENT: Final = frozenset({"lstm", "gru"})
_IMAGENET: Final = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


class Classic(NamedTuple):
    """``fixed`` is how many leading arguments are given by the name; ``shape`` is of one sample."""

    make: Callable[..., nn.Module]
    task: Task
    input_name: Literal["image", "x", "spectrogram", "input_ids"]
    shape: tuple[int, ...]


_CLASSICS: Final[dict[str, Classic]] = {
    "lenet_300_100": Classic(LeNet300, "image-classification", "image", (1, 28, 28)),
    "lenet_5": Classic(LeNet5, "image-classification", "image", (1, 28, 28)),
    **{
        f"resnet{6 * blocks + 2}": Classic(
            functools.partial(CifarResNet, blocks), "image-classification", "image", (3, 32, 32)
        )
        for blocks in (3, 5, 7, 9, 18)
    },
    **{
        name: Classic(functools.partial(SmallVgg, name), "image-classification", "image", (3, 32, 32))
        for name in ("vgg11", "vgg13", "vgg16", "vgg19")
    },
    "mlp": Classic(Mlp, "tabular-classification", "x", (0,)),
    "ds_cnn": Classic(DsCnn, "audio-classification", "spectrogram", (1, 40, 98)),
    "text_cnn": Classic(TextCnn, "text-classification", "input_ids", (_TOKENS,)),
    "lstm": Classic(functools.partial(Recurrent, "lstm"), "text-classification", "input_ids", (_RECURRENT_TOKENS,)),
    "gru": Classic(functools.partial(Recurrent, "gru"), "text-classification", "input_ids", (_RECURRENT_TOKENS,)),
}


def names() -> list[str]:
    """Every classic."""
    return list(_CLASSICS)


def classic(name: str) -> Classic:
    """What the name stands for."""
    return _CLASSICS[name]


def accepted(name: str) -> list[str]:
    """Its arguments."""
    return list(inspect.signature(_CLASSICS[name].make).parameters)


def make(name: str, arguments: dict[str, Any], shape: tuple[int, ...] | None) -> nn.Module:
    """The classic; an MLP's and LeNet-300-100's inputs follow from the shape where they are not given."""
    known = accepted(name)
    if shape is not None and "in_features" in known:
        arguments = {"in_features": math.prod(shape), **arguments}
    if shape is not None and len(shape) == 3 and "in_channels" in known:
        arguments = {"in_channels": shape[0], **arguments}
    return _CLASSICS[name].make(**arguments)


def use(name: str, module: nn.Module, arguments: dict[str, Any], shape: tuple[int, ...] | None) -> Use:
    """Two samples. Texts may be longer or shorter than the example, except where torch unrolls a recurrent layer."""
    classic = _CLASSICS[name]
    if classic.input_name == "input_ids":
        return _text(classic, arguments, shape, fixed=name in _RECURRENT)
    shape = shape or _shape(classic, arguments)
    return Use((noise(*shape),), (classic.input_name,), classic.task, _preprocessing(classic, shape))


def _text(classic: Classic, arguments: dict[str, Any], shape: tuple[int, ...] | None, fixed: bool) -> Use:
    """A length that somebody has chosen is what texts are cut and padded to; otherwise the dataset's own is right."""
    length = (shape or _shape(classic, arguments))[0]
    ids = torch.arange(1, 2 * length + 1).reshape(2, length) % arguments["vocab_size"]
    words = TextPreprocessing(tokenizer="words", length=length) if shape or fixed else None
    return Use((ids,), ("input_ids",), classic.task, words, () if fixed else ((1,),))


def _shape(classic: Classic, arguments: dict[str, Any]) -> tuple[int, ...]:
    if "in_features" in arguments:
        return (arguments["in_features"],)
    if "in_channels" in arguments:
        return (arguments["in_channels"], *classic.shape[1:])
    return classic.shape


def _preprocessing(classic: Classic, shape: tuple[int, ...]) -> Preprocessing | None:
    if classic.input_name == "spectrogram":
        return AudioPreprocessing(mels=shape[1])
    if len(shape) != 3 or shape[0] not in (1, 3):
        return None
    size = (shape[1], shape[2])
    if shape[0] == 1:
        return ImagePreprocessing(size=size, channels=1)
    return ImagePreprocessing(size=size, **_IMAGENET)
