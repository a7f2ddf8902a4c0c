"""Encoders of transformers, built from tiny configurations, with a classifier on top."""

from collections.abc import Callable

import transformers
from torch import Tensor, nn

from tests.zoo.entry import CLASSES, Entry, Inputs, pictures, series, tokens

_WORDS, _LENGTH = 100, 12
_SMALL = {
    "vocab_size": _WORDS,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
    "num_labels": CLASSES,
}
_MINILM = {**_SMALL, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
_PICTURE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
    "num_labels": CLASSES,
}
_SOUND = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 2, 2),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "num_feat_extract_layers": 3,
    "classifier_proj_size": 16,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "layerdrop": 0.0,
    "num_labels": CLASSES,
}


class TextLogits(nn.Module):
    """Token numbers and a mask in, logits alone out."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        out: Tensor = self.net(input_ids=input_ids, attention_mask=attention_mask).logits
        return out


class OneInput(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, values: Tensor) -> Tensor:
        out: Tensor = self.net(values).logits
        return out


def _text(model: str, config: str, options: dict[str, object]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        made = getattr(transformers, config)(**options)
        return TextLogits(getattr(transformers, model)(made))

    return build


def _values(model: str, config: str, options: dict[str, object]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        made = getattr(transformers, config)(**options)
        return OneInput(getattr(transformers, model)(made))

    return build


_DISTIL = {
    "vocab_size": _WORDS,
    "dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 64,
    "max_position_embeddings": 40,
    "num_labels": CLASSES,
}


def entries() -> list[Entry]:
    words: Inputs = tokens(_LENGTH, _WORDS)
    albert = {**_SMALL, "embedding_size": 16}
    table = [
        ("bert-tiny", _text("BertForSequenceClassification", "BertConfig", _SMALL), words),
        ("minilm-6x384", _text("BertForSequenceClassification", "BertConfig", _MINILM), words),
        ("distilbert-tiny", _text("DistilBertForSequenceClassification", "DistilBertConfig", _DISTIL), words),
        ("roberta-tiny", _text("RobertaForSequenceClassification", "RobertaConfig", _SMALL), words),
        ("albert-tiny", _text("AlbertForSequenceClassification", "AlbertConfig", albert), words),
        ("electra-tiny", _text("ElectraForSequenceClassification", "ElectraConfig", albert), words),
        ("vit-tiny", _values("ViTForImageClassification", "ViTConfig", _PICTURE), pictures(32)),
        ("wav2vec2-tiny", _values("Wav2Vec2ForSequenceClassification", "Wav2Vec2Config", _SOUND), series(1600)),
        ("hubert-tiny", _values("HubertForSequenceClassification", "HubertConfig", _SOUND), series(1600)),
    ]
    return [
        Entry(f"transformers/{name}", "transformers", build, inputs, name == "bert-tiny")
        for name, build, inputs in table
    ]
