"""Models and data that build in milliseconds, and job folders made of them."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from engine.jobdir import EngineJob, JobDir
from engine.lift import lift
from engine.model import Model
from pith.job import JobSpec

MODEL_ID, TEACHER_ID, DATASET_ID = "mdl_" + "0" * 26, "mdl_" + "1" * 26, "dts_" + "0" * 26
CLASSES = 4


class Cnn(nn.Module):
    """Convolutions, batch norms, a residual sum, depthwise convolution, flatten, dropout."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.block = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
        )
        self.hidden = nn.Linear(width * 16, 32)
        self.dropout = nn.Dropout(0.25)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = functional.max_pool2d(functional.relu(x + self.block(x)), 2)
        return self.head(self.dropout(functional.relu(self.hidden(x.flatten(1)))))


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class Transformer(nn.Module):
    """Two blocks of attention over the rows of the picture, with layer norms and a learned position."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.embed = nn.Linear(8, width)
        self.position = nn.Parameter(torch.randn(1, 8, width) * 0.02)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(2))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)) for _ in range(2)
        )
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.squeeze(1)) + self.position
        for index in range(2):
            x = x + self.attend(self.norms[2 * index](x), index)
            x = x + self.mlp[index](self.norms[2 * index + 1](x))
        out: Tensor = self.head(x.mean(1))
        return out

    def attend(self, x: Tensor, index: int) -> Tensor:
        batch, rows, width = x.shape
        q, k, v = self.qkv[index](x).reshape(batch, rows, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out[index](mixed.transpose(1, 2).reshape(batch, rows, width))
        return out


def built(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    """A fresh network in eval mode; batch norms hold statistics other than their initial ones."""
    torch.manual_seed(seed)
    net = kind()
    with torch.no_grad():
        for _ in range(3):
            net.train()(torch.randn(16, 1, 8, 8))
    return net.eval()


def exported(net: nn.Module) -> torch.export.ExportedProgram:
    example = torch.randn(2, 1, 8, 8)
    return torch.export.export(net, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))


def lifted(kind: type[nn.Module], seed: int = 0) -> Model:
    return Model(*lift(exported(built(kind, seed))))


def pictures(samples: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Noise with one bright quarter, which is the class."""
    random = np.random.default_rng(seed)
    y = random.integers(0, CLASSES, samples)
    x = random.normal(0, 0.3, (samples, 1, 8, 8)).astype(np.float32)
    for row, quarter in zip(x, y, strict=True):
        top, left = divmod(int(quarter), 2)
        row[0, top * 4 : top * 4 + 4, left * 4 : left * 4 + 4] += 0.7
    return x, y


def arrays() -> dict[str, NDArray[Any]]:
    (x_train, y_train), (x_test, y_test) = pictures(192, 1), pictures(64, 2)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def job_folder(root: Path, recipe: list[dict[str, Any]], **given: Any) -> JobDir:
    """A folder for ``engine.run``. Give ``net`` (a class), ``data`` (arrays or None), ``teacher``, or spec fields."""
    folder = JobDir(root)
    root.mkdir(parents=True, exist_ok=True)
    seconds = given.pop("checkpoint_seconds", 60.0)
    net, data = given.pop("net", Cnn), given.pop("data", "default")
    data = arrays() if data == "default" else data
    torch.export.save(exported(built(net)), folder.model)
    if data is not None:
        np.savez(folder.dataset, **data)
    if teacher := given.pop("teacher", None):
        folder.teacher(TEACHER_ID).parent.mkdir()
        torch.export.save(exported(built(teacher, seed=5)), folder.teacher(TEACHER_ID))
    spec = {"model": MODEL_ID, "dataset": DATASET_ID if data is not None else None, "recipe": recipe, **given}
    job = EngineJob(
        spec=JobSpec.model_validate(spec), model_digest=_digest(folder.model), device="cpu", checkpoint_seconds=seconds
    )
    folder.spec.write_text(job.model_dump_json())
    return folder


def _digest(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
