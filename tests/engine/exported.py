"""Small models as the engine meets them: exported with a dynamic batch and saved to ``.pt2``."""

import functools
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.export import Dim


class Sample(NamedTuple):
    """A module, its inputs, and which of their dimensions are dynamic."""

    module: nn.Module
    args: tuple[Any, ...]
    dynamic: Any = ({0: Dim.AUTO},)
    kwargs: dict[str, Any] | None = None


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout(0.25)
        self.head = nn.Linear(64, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.pool(torch.relu(self.norm(self.conv(image)))).flatten(1)))


class Attention(nn.Module):
    """Embedding, a position buffer that is not saved, and scaled dot-product attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.qkv = nn.Linear(16, 48)
        self.out = nn.Linear(16, 16)
        self.register_buffer("position", torch.arange(10).expand(1, -1), persistent=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids) + self.position[:, : ids.shape[1]].unsqueeze(-1)
        batch, length, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, 2, 8).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.cells = kind(6, 8, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(x)[0][:, -1])


class Nested(nn.Module):
    """Takes a dict and a keyword, returns a dict with a list and a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 2)

    def forward(self, inputs: dict[str, torch.Tensor], *, scale: torch.Tensor) -> dict[str, Any]:
        hidden = self.first(inputs["x"]) * scale
        return {"hidden": hidden, "rest": [self.second(hidden), (hidden.sum(),)]}


class Shared(nn.Module):
    """Tied weights, parameters that are views of one storage, a constant, and a mask with infinities."""

    def __init__(self) -> None:
        super().__init__()
        base = torch.randn(8, 8)
        self.embed = nn.Embedding(20, 8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight
        self.left = nn.Parameter(base[:, :4])
        self.turned = nn.Parameter(base.t())
        self.rows = nn.Parameter(base[2:4])
        self.register_buffer("mask", torch.full((4, 4), float("-inf")).triu(1))

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.embed(ids)
        extra = (x @ self.turned @ self.left).sum() + self.rows.sum()
        return self.head(x) + extra.masked_fill(torch.tensor(False), float("-inf")), self.mask


class Sizes(nn.Module):
    """Arithmetic on the batch size."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        batch = x.shape[0]
        return (
            x.repeat(2, 1).reshape(batch * 2, -1),
            torch.arange(batch // 2 + 1),
            torch.zeros(max(batch, 3)),
            torch.zeros(batch % 4 + 1),
            nn.functional.interpolate(x[:, None], scale_factor=2.0),
            (x > 0) & (x < 1) | (x > 2),
        )


class Counted(nn.Module):
    """A size that is known only when the model runs."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        count = x.sum().long().item()
        torch._check(count >= 0)
        torch._check(count < 100)
        return torch.zeros(count) + 1, x.nonzero()


class Named(nn.Module):
    """An input that is a text."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor, mode: str) -> torch.Tensor:
        return self.layer(x) * (2 if mode == "double" else 1)


def _encoder(layers: int) -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


_IDS = torch.arange(10).reshape(2, 5)
_ROWS = torch.linspace(-1, 1, 16).reshape(4, 4)
_IMAGE = torch.linspace(-1, 1, 128).reshape(2, 1, 8, 8)
_STEPS = torch.linspace(-1, 1, 80).reshape(2, 5, 8)

SAMPLES: dict[str, Callable[[], Sample]] = {
    "convolutional": lambda: Sample(Convolutional().eval(), (_IMAGE,)),
    "convolutional in training": lambda: Sample(Convolutional().train(), (_IMAGE,)),
    "named batch": lambda: Sample(Convolutional().eval(), (_IMAGE,), ({0: Dim("batch", min=1, max=64)},)),
    "fixed batch": lambda: Sample(Convolutional().eval(), (_IMAGE,), None),
    "channels last": lambda: Sample(nn.Conv2d(1, 4, 3).to(memory_format=torch.channels_last), (_IMAGE,)),
    "linear": lambda: Sample(nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 2)), (_ROWS,)),
    "attention": lambda: Sample(Attention().eval(), (_IDS,), ({0: Dim.AUTO, 1: Dim.AUTO},)),
    "multi-head": lambda: Sample(nn.MultiheadAttention(8, 2, batch_first=True), (_STEPS,) * 3, ({0: Dim.AUTO},) * 3),
    "encoder": lambda: Sample(_encoder(2).eval(), (_STEPS,)),
    "lstm": lambda: Sample(Recurrent(nn.LSTM), (_STEPS[..., :6],)),
    "gru": lambda: Sample(Recurrent(nn.GRU), (_STEPS[..., :6],)),
    "nested": lambda: Sample(
        Nested(), ({"x": _ROWS},), {"inputs": {"x": {0: Dim.AUTO}}, "scale": None}, {"scale": torch.tensor(2.0)}
    ),
    "shared": lambda: Sample(Shared(), (_IDS,)),
    "bfloat16": lambda: Sample(nn.Linear(4, 4).bfloat16(), (_ROWS.bfloat16(),)),
    "float16": lambda: Sample(nn.Linear(4, 4).half(), (_ROWS.half(),)),
    "weight norm": lambda: Sample(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), (_ROWS,)),
    "sizes": lambda: Sample(Sizes(), (_ROWS,)),
    "counted": lambda: Sample(Counted(), (torch.ones(4),), None),
    "text input": lambda: Sample(Named(), (_ROWS, "double"), ({0: Dim.AUTO}, None)),
    "no weights": lambda: Sample(nn.ReLU(), (_ROWS,)),
}


def export(sample: Sample) -> torch.export.ExportedProgram:
    return torch.export.export(sample.module, sample.args, sample.kwargs, dynamic_shapes=sample.dynamic)


@functools.cache
def sample(name: str) -> Sample:
    torch.manual_seed(0)
    return SAMPLES[name]()


@functools.cache
def saved(name: str) -> bytes:
    """The ``.pt2`` file of the sample of that name, exported once."""
    buffer = io.BytesIO()
    torch.export.save(export(sample(name)), buffer)
    return buffer.getvalue()
