"""Small networks that papers on compression are measured on, under the names of their layers in public weights."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

_VGG: Final = {
    "vgg11": (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    "vgg13": (64, 64, 0, 128, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    "vgg16": (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0),
    "vgg19": (64, 64, 0, 128, 128, 0, *(256,) * 4, 0, *(512,) * 4, 0, *(512,) * 4, 0),
}


class LeNet300(nn.Module):
    """LeNet-300-100: LeCun, Bottou, Bengio and Haffner 1998. 266,610 weights for 28x28 pictures."""

    def __init__(self, in_features: int = 784, num_classes: int = 10) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_features, 300)
        self.fc2 = nn.Linear(300, 100)
        self.fc3 = nn.Linear(100, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        x = functional.relu(self.fc1(image.flatten(1)))
        out: Tensor = self.fc3(functional.relu(self.fc2(x)))
        return out


class LeNet5(nn.Module):
    """LeNet-5 as Caffe has it, which is the one in papers on pruning: 431,080 weights for 1x28x28 pictures."""

    def __init__(self, in_channels: int = 1, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.fc1 = nn.Linear(800, 500)
        self.fc2 = nn.Linear(500, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        x = functional.max_pool2d(self.conv1(image), 2)
        x = functional.max_pool2d(self.conv2(x), 2)
        out: Tensor = self.fc2(functional.relu(self.fc1(x.flatten(1))))
        return out


class _ResNetBlock(nn.Module):
    """Where the shape changes, the shortcut takes every second pixel and pads channels with zeros (option A)."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.padding = stride, (width - width_in) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.stride != 1:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))
        return functional.relu(y + x)


class CifarResNet(nn.Module):
    """ResNet for 32x32 pictures: He, Zhang, Ren and Sun 2016, arXiv 1512.03385, section 4.2."""

    def __init__(self, blocks: int, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks, 1)
        self.layer2 = _stage(16, 32, blocks, 2)
        self.layer3 = _stage(32, 64, blocks, 2)
        self.linear = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, image: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(image)))
        x = self.layer3(self.layer2(self.layer1(x)))
        out: Tensor = self.linear(x.mean((2, 3)))
        return out


def _stage(width_in: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = _ResNetBlock(width_in, width, stride)
    return nn.Sequential(first, *(_ResNetBlock(width, width, 1) for _ in range(blocks - 1)))


class SmallVgg(nn.Module):
    """VGG for 32x32 pictures, with batch norm and one linear layer: Simonyan and Zisserman 2015, arXiv 1409.1556."""

    def __init__(self, variant: str, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in _VGG[variant]:
            if width:
                layers += [nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                in_channels = width
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(512, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.classifier(self.features(image).mean((2, 3)))
        return out


class Mlp(nn.Module):
    """Linear layers with ReLU and dropout between them."""

    def __init__(
        self, in_features: int, out_features: int, hidden: Sequence[int] = (64,), dropout: float = 0.0
    ) -> None:
        super().__init__()
        widths = (in_features, *hidden)
        layers: list[nn.Module] = []
        for width, following in pairwise(widths):
            layers += [nn.Linear(width, following), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], out_features))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x.flatten(1))
        return out


class DsCnn(nn.Module):
    """Keyword spotting on mel spectrograms: Zhang, Suda, Lai and Chandra 2017, arXiv 1711.07128 (DS-CNN)."""

    def __init__(self, num_classes: int = 12, width: int = 64, blocks: int = 4, dropout: float = 0.2) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, width, (4, 10), (2, 2), (1, 5), bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        for _ in range(blocks):
            layers += [nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False), nn.BatchNorm2d(width)]
            layers += [nn.ReLU(inplace=True), nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width)]
            layers.append(nn.ReLU(inplace=True))
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """``spectrogram``: (batch, 1, mels, frames)."""
        out: Tensor = self.classifier(self.dropout(self.features(spectrogram).mean((2, 3))))
        return out


class TextCnn(nn.Module):
    """Convolutions over word vectors, the largest of each kept: Kim 2014, arXiv 1408.5882. Token 0 is padding."""

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        embedding: int = 128,
        widths: Sequence[int] = (3, 4, 5),
        filters: int = 100,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding, padding_idx=0)
        self.convs = nn.ModuleList(nn.Conv1d(embedding, filters, width, padding=width - 1) for width in widths)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(filters * len(widths), num_classes)

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.embedding(input_ids).transpose(1, 2)
        pooled = [functional.relu(conv(x)).amax(2) for conv in self.convs]
        out: Tensor = self.classifier(self.dropout(torch.cat(pooled, 1)))
        return out


class Recurrent(nn.Module):
    """A bidirectional LSTM or GRU over word vectors, its outputs averaged over the text. Token 0 is padding."""

    def __init__(
        self,
        kind: str,
        vocab_size: int,
        num_classes: int,
        embedding: int = 128,
        hidden: int = 128,
        num_layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        cell = nn.LSTM if kind == "lstm" else nn.GRU
        between = dropout if num_layers > 1 else 0.0
        self.embedding = nn.Embedding(vocab_size, embedding, padding_idx=0)
        self.rnn = cell(embedding, hidden, num_layers, batch_first=True, dropout=between, bidirectional=bidirectional)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden * (2 if bidirectional else 1), num_classes)

    def forward(self, input_ids: Tensor) -> Tensor:
        mask = (input_ids != 0).unsqueeze(2).float()
        x = self.rnn(self.embedding(input_ids))[0] * mask
        out: Tensor = self.classifier(self.dropout(x.sum(1) / mask.sum(1).clamp(min=1.0)))
        return out
