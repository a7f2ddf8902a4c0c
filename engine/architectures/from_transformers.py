"""Classes of transformers under ``transformers/``, made from a configuration and never from weights."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

import torch
import transformers
from torch import nn

from engine.architectures.library import Use, noise
from pith.architecture_arguments import refuse_unknown, refused
from pith.dataset import AudioPreprocessing, ImagePreprocessing, TextPreprocessing

_TEXT: Final = (
    *("Albert", "Bert", "Camembert", "ConvBert", "DebertaV2", "DistilBert", "Electra", "MPNet", "MobileBert"),
    *("ModernBert", "RoFormer", "Roberta", "SqueezeBert", "XLMRoberta"),
)
_IMAGE: Final = (
    *("Beit", "ConvNext", "ConvNextV2", "DeiT", "Dinov2", "Levit", "MobileNetV2", "MobileViT", "RegNet"),
    *("ResNet", "Swin", "ViT"),
)
_AUDIO: Final = ("Data2VecAudio", "Hubert", "SEW", "Wav2Vec2", "WavLM")
_TOKENS: Final = 16
_PICTURE, _SOUND = 224, 16_000
_HALF: Final = (0.5, 0.5, 0.5)
_IMAGENET: Final = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_ATTENTION: Final = "sdpa"


class _Kind(NamedTuple):
    """What a class takes, and whether it classifies."""

    sample: str
    classifies: bool


_CLASSES: Final[dict[str, _Kind]] = {
    **{f"{one}Model": _Kind("text", False) for one in _TEXT},
    **{f"{one}ForSequenceClassification": _Kind("text", True) for one in _TEXT},
    **{f"{one}Model": _Kind("image", False) for one in _IMAGE},
    **{f"{one}ForImageClassification": _Kind("image", True) for one in _IMAGE},
    **{f"{one}Model": _Kind("audio", False) for one in _AUDIO},
    **{f"{one}ForSequenceClassification": _Kind("audio", True) for one in _AUDIO},
    "ASTForAudioClassification": _Kind("spectrogram", True),
    "ASTModel": _Kind("spectrogram", False),
}


def names() -> list[str]:
    """The classes of the list that the installed library has."""
    return [name for name in _CLASSES if hasattr(transformers, name)]


def accepted(name: str) -> list[str]:
    """The fields of the class's configuration."""
    fields = getattr(transformers, name).config_class().to_dict()
    return sorted({"num_labels", *(field for field in fields if not refused(field))})


def classes_of(name: str) -> int:
    """Of a class that classifies, without arguments; 0 of any other."""
    return int(getattr(transformers, name).config_class().num_labels) if _CLASSES[name].classifies else 0


def takes_text(name: str) -> bool:
    """Whether it takes token ids and their mask."""
    return _CLASSES[name].sample == "text"


def shape_of(name: str) -> tuple[int, ...]:
    """Of one sample, without arguments; a text's length is free."""
    config, sample = getattr(transformers, name).config_class(), _CLASSES[name].sample
    if sample == "image":
        size = getattr(config, "image_size", None) or _PICTURE
        return (config.num_channels, *((size, size) if isinstance(size, int) else size))
    if sample == "spectrogram":
        return (config.max_length, config.num_mel_bins)
    return (_SOUND,) if sample == "audio" else (_TOKENS,)


def make(name: str, arguments: dict[str, Any], shape: tuple[int, ...] | None) -> nn.Module:
    """The class over a configuration of these fields."""
    known = accepted(name)
    for argument in arguments:
        if argument not in known:
            refuse_unknown(f"transformers/{name}", argument, known)
    if shape is not None and "image_size" in known and len(shape) == 3:
        arguments = {"num_channels": shape[0], "image_size": shape[-1], **arguments}
    kind = plain_class(name)
    return from_config(kind, kind.config_class(**arguments))


def from_config(kind: Any, config: Any) -> nn.Module:
    """The module of a class and its configuration, with attention that exports."""
    config.use_cache = False
    try:
        module: nn.Module = kind._from_config(config, attn_implementation=_ATTENTION)
    except ValueError:
        module = kind._from_config(config, attn_implementation="eager")
    return module


def plain_class(name: str) -> Any:
    """The class of transformers, with tensors in and a plain tuple of tensors (or one tensor) out.

    Raises:
        KeyError: it is not on the list.
    """
    kind = getattr(transformers, name)
    return type(name, (kind,), {"forward": _FORWARDS[_CLASSES[name].sample](kind)})


def _text_forward(kind: Any) -> Callable[..., Any]:
    def forward(self: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return _plain(kind.forward(self, input_ids=input_ids, attention_mask=attention_mask))

    return forward


def _image_forward(kind: Any) -> Callable[..., Any]:
    def forward(self: Any, pixel_values: torch.Tensor) -> Any:
        return _plain(kind.forward(self, pixel_values=pixel_values))

    return forward


def _audio_forward(kind: Any) -> Callable[..., Any]:
    def forward(self: Any, input_values: torch.Tensor) -> Any:
        return _plain(kind.forward(self, input_values=input_values))

    return forward


_FORWARDS: Final = {"text": _text_forward, "image": _image_forward, "audio": _audio_forward} | {
    "spectrogram": _audio_forward
}


def _plain(outputs: Any) -> Any:
    tensors = tuple(one for one in outputs.values() if isinstance(one, torch.Tensor))
    return tensors if len(tensors) > 1 else tensors[0]


def use(name: str, module: nn.Module, arguments: dict[str, Any], shape: tuple[int, ...] | None) -> Use:
    """Two samples as the class takes them."""
    kind, config = _CLASSES[name], cast(Any, module.config)
    task = (
        f"{'audio' if kind.sample == 'spectrogram' else kind.sample}-classification" if kind.classifies else "embedding"
    )
    if kind.sample == "text":
        return _text(config, task, shape)
    if kind.sample == "image":
        return _image(name, config, task, shape)
    if kind.sample == "audio":
        sound = AudioPreprocessing(features="waveform", sample_rate=16_000)
        return Use((noise(*(shape or (_SOUND,))),), ("input_values",), task, sound)  # type: ignore[arg-type]
    frames = AudioPreprocessing(mels=config.num_mel_bins, seconds=config.max_length / 100)
    return Use((noise(config.max_length, config.num_mel_bins),), ("input_values",), task, frames)  # type: ignore[arg-type]


def _text(config: Any, task: str, shape: tuple[int, ...] | None) -> Use:
    """The second sample is shorter than the first, so that the mask matters."""
    length = shape[0] if shape else _TOKENS
    padding = config.pad_token_id or 0
    ids = (torch.arange(2 * length).reshape(2, length) * 7 + 3) % min(config.vocab_size, 1000)
    ids[ids == padding] = (padding + 1) % config.vocab_size
    mask = torch.ones(2, length, dtype=torch.int64)
    ids[1, length // 2 :], mask[1, length // 2 :] = padding, 0
    most = getattr(config, "max_position_embeddings", 512)
    words = TextPreprocessing(length=min(128, max(1, most - 2)))
    return Use((ids, mask), ("input_ids", "attention_mask"), task, words, ((1,), (1,)))  # type: ignore[arg-type]


def _image(name: str, config: Any, task: str, shape: tuple[int, ...] | None) -> Use:
    size = getattr(config, "image_size", _PICTURE)
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    channels, height, width = shape or (config.num_channels, height, width)
    mean, std = (_HALF, _HALF) if name.startswith("ViT") else _IMAGENET
    pictures = None
    if channels in (1, 3):
        pictures = ImagePreprocessing(size=(height, width), channels=channels, mean=mean[:channels], std=std[:channels])
    return Use((noise(channels, height, width),), ("pixel_values",), task, pictures)  # type: ignore[arg-type]
