"""What image classifiers and encoders do not show: recurrent layers, a UNet, several inputs and outputs, sharing."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.zoo.entry import CLASSES, Entry, pictures, seeded, series


class Recurrent(nn.Module):
    """A recurrent layer over time, then a classifier of its last step."""

    def __init__(self, kind: type[nn.RNNBase], **options: object) -> None:
        super().__init__()
        self.rnn = kind(8, 16, batch_first=True, **options)
        self.head = nn.Linear(32 if self.rnn.bidirectional else 16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.rnn(x)[0][:, -1])
        return out


class LastState(nn.Module):
    """Classifies the last hidden state, with time as the first dimension inside."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 12)
        self.rnn = nn.LSTM(12, 16, num_layers=2, dropout=0.2)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        _, (hidden, _) = self.rnn(torch.relu(self.embed(x)).transpose(0, 1))
        out: Tensor = self.head(hidden[-1])
        return out


class KeywordCrnn(nn.Module):
    """Convolutions over a spectrogram, then a bidirectional GRU: the usual keyword spotter."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 3, padding=1)
        )
        self.rnn = nn.GRU(8 * 16, 24, bidirectional=True, batch_first=True)
        self.head = nn.Linear(48, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.features(x)).permute(0, 3, 1, 2).flatten(2)
        out: Tensor = self.head(self.rnn(x)[0].mean(1))
        return out


class UNet(nn.Module):
    """Two levels down and up again with transposed convolutions and skips."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.middle = _double(3, 16), _double(16, 32), _double(32, 64)
        self.up2, self.merge2 = nn.ConvTranspose2d(64, 32, 2, stride=2), _double(64, 32)
        self.up1, self.merge1 = nn.ConvTranspose2d(32, 16, 2, stride=2), _double(32, 16)
        self.head = nn.Conv2d(16, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.down1(x)
        two = self.down2(functional.max_pool2d(one, 2))
        x = self.middle(functional.max_pool2d(two, 2))
        x = self.merge2(torch.cat([self.up2(x), two], 1))
        out: Tensor = self.head(self.merge1(torch.cat([self.up1(x), one], 1)))
        return out


def _double(inner: int, outer: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, padding=1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(),
        nn.Conv2d(outer, outer, 3, padding=1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(),
    )  # fmt: skip


class TwoInputs(nn.Module):
    """A picture and a table row together."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.row = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Linear(32, CLASSES)

    def forward(self, picture: Tensor, row: Tensor) -> Tensor:
        out: Tensor = self.head(torch.cat([self.picture(picture), self.row(row)], 1))
        return out


class TwoOutputs(nn.Module):
    """Classes, and a number beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 24, 3))
        self.classes, self.number = nn.Linear(24, CLASSES), nn.Linear(24, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.relu(self.body(x)).mean((2, 3))
        return self.classes(x), self.number(x).squeeze(1)


class PackedAttention(nn.Module):
    """``nn.MultiheadAttention`` keeps the weights of queries, keys and values in one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 32)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.norm = nn.LayerNorm(32)
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = self.norm(x + self.attention(x, x, x, need_weights=False)[0])
        out: Tensor = self.head((x + self.mlp(x)).mean(1))
        return out


class Encoder(nn.Module):
    """``nn.TransformerEncoder`` as it comes."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.embed = nn.Linear(8, 32)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.encoder(self.embed(x)).mean(1))
        return out


class Grouped(nn.Module):
    """Grouped convolutions in a row, one with more outputs than inputs, and group norm."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3, groups=4), nn.GroupNorm(8, 32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, groups=32), nn.ReLU(), nn.Conv2d(64, 32, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.layers(x))
        return out


class Shared(nn.Module):
    """One layer used twice, and two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.again = nn.Linear(8, 24), nn.Linear(24, 24)
        self.first, self.second = nn.Linear(24, 24), nn.Linear(24, 24, bias=False)
        self.second.weight = self.first.weight
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.again(torch.relu(self.again(torch.relu(self.embed(x))))))
        out: Tensor = self.head(torch.relu(self.second(torch.relu(self.first(x)))))
        return out


class Conditional(nn.Module):
    """Control flow that depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(8, CLASSES), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.cond(x.mean() > 0, self.one, self.other, (x,))
        return out


class Siamese(nn.Module):
    """One tower called on both inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3))
        self.head = nn.Linear(16, CLASSES)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        one, other = (torch.relu(self.tower(x)).mean((2, 3)) for x in (left, right))
        out: Tensor = self.head((one - other).abs())
        return out


class ConvNet1d(nn.Module):
    """A keyword spotter on raw samples, with instance norm."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(1, 16, 16, stride=8), nn.InstanceNorm1d(16, affine=True), nn.PReLU(16),
            nn.Conv1d(16, 32, 3, padding=1), nn.BatchNorm1d(32), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.layers(x))
        return out


def _two(batch: int) -> tuple[Tensor, ...]:
    return (*pictures(16)(batch), torch.randn(batch, 6, generator=seeded(batch + 1)))


def _pair(batch: int) -> tuple[Tensor, ...]:
    return (*pictures(16)(batch), torch.randn(batch, 3, 16, 16, generator=seeded(batch + 1)))


def entries() -> list[Entry]:
    time, row, picture = series(7, 8), series(8), pictures(32)
    both = {"num_layers": 2, "dropout": 0.2, "bidirectional": True}
    return [
        Entry("recurrent/lstm", "other", lambda: Recurrent(nn.LSTM), time, True),
        Entry("recurrent/gru", "other", lambda: Recurrent(nn.GRU), time),
        Entry("recurrent/rnn", "other", lambda: Recurrent(nn.RNN), time),
        Entry("recurrent/lstm-bidirectional-2", "other", lambda: Recurrent(nn.LSTM, **both), time, True),
        Entry("recurrent/gru-bidirectional-2", "other", lambda: Recurrent(nn.GRU, **both), time),
        Entry("recurrent/lstm-last-state", "other", LastState, time),
        Entry("recurrent/crnn", "other", KeywordCrnn, pictures(32, 1)),
        Entry("other/unet", "other", UNet, picture, True),
        Entry("other/conv1d", "other", ConvNet1d, series(1, 256)),
        Entry("other/two-inputs", "other", TwoInputs, _two, True),
        Entry("other/siamese", "other", Siamese, _pair),
        Entry("other/two-outputs", "other", TwoOutputs, picture, True),
        Entry("other/packed-attention", "other", PackedAttention, time),
        Entry("other/transformer-encoder", "other", Encoder, time),
        Entry("other/grouped", "other", Grouped, picture),
        Entry("other/shared", "other", Shared, row),
        Entry("other/cond", "other", Conditional, row),
    ]
