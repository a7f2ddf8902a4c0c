"""Models and data that build in milliseconds, and job folders made of them."""

import functools
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from engine.data.intake import stage_dataset
from engine.jobdir import EngineJob, JobDir
from engine.lift import lift
from engine.model import Model
from pith.dataset import DatasetSchema
from pith.job import JobSpec

MODEL_ID, TEACHER_ID, DATASET_ID = "mdl_" + "0" * 26, "mdl_" + "1" * 26, "dts_" + "0" * 26
CLASSES, WORDS = 4, 20


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


class Tokens(nn.Module):
    """Two inputs, token ids and their mask, of any length: embedding, a layer, attention pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(WORDS, 16)
        self.hidden = nn.Linear(16, 32)
        self.score = nn.Linear(32, 1)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, ids: Tensor, *, mask: Tensor) -> Tensor:
        x = functional.relu(self.hidden(self.table(ids)))
        weights = torch.sigmoid(self.score(x)) * mask.unsqueeze(-1)
        out: Tensor = self.head((x * weights).sum(1) / weights.sum(1))
        return out


class TwoHeads(nn.Module):
    """Scores of classes, and the brightness of each row of the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Linear(16 * 16, CLASSES)
        self.rows = nn.Linear(16 * 16, 8)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.conv(x).flatten(1)
        return {"scores": self.head(x), "rows": self.rows(x)}


class Regression(nn.Module):
    """One number a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class Scores(nn.Module):
    """Takes what the others give: scores of classes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(CLASSES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out


class NoHead(nn.Module):
    """Two layers make the output, so none is the head."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(64, CLASSES), nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.one(x.flatten(1)) + self.other(x.flatten(1))
        return out


def examples(net: nn.Module | type[nn.Module], samples: int) -> tuple[Tensor, ...]:
    """Inputs of the right kind for this network."""
    if net is Scores or isinstance(net, Scores):
        return (torch.randn(samples, CLASSES),)
    if net is Tokens or isinstance(net, Tokens):
        return torch.randint(0, WORDS, (samples, 6)), torch.ones(samples, 6, dtype=torch.int64)
    return (torch.randn(samples, 1, 8, 8),)


def built(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    """A fresh network in eval mode; batch norms hold statistics other than their initial ones."""
    torch.manual_seed(seed)
    net = kind()
    with torch.no_grad():
        for _ in range(3):
            _call(net.train(), examples(net, 16))
    return net.eval()


def exported(net: nn.Module) -> torch.export.ExportedProgram:
    if isinstance(net, Tokens):
        ids, mask = examples(net, 2)
        sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", min=2, max=64)}
        return torch.export.export(net, (ids,), {"mask": mask}, dynamic_shapes={"ids": sizes, "mask": sizes})
    return torch.export.export(net, examples(net, 2), dynamic_shapes=({0: torch.export.Dim("batch")},))


def _call(net: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    return net(inputs[0], mask=inputs[1]) if isinstance(net, Tokens) else net(*inputs)


def saved(kind: type[nn.Module], seed: int = 0) -> bytes:
    """The ``.pt2`` file of a fresh network, exported once; the generator stands at the same place after each call."""
    file = _saved(kind, seed)
    torch.manual_seed(seed)
    return file


@functools.cache
def _saved(kind: type[nn.Module], seed: int) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(exported(built(kind, seed)), buffer)
    return buffer.getvalue()


def lifted(kind: type[nn.Module], seed: int = 0) -> Model:
    """A fresh network as the engine has it, exported and lifted once, and each time a copy."""
    model = _lifted(kind, seed).copy()
    torch.manual_seed(seed)
    return model


@functools.cache
def _lifted(kind: type[nn.Module], seed: int) -> Model:
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


def sentences(samples: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Ids, mask and class: the class is the one word below CLASSES that the mask lets through."""
    random = np.random.default_rng(seed)
    ids = random.integers(CLASSES, WORDS, (samples, 6))
    mask = np.ones((samples, 6), np.int64)
    y = random.integers(0, CLASSES, samples)
    ids[np.arange(samples), random.integers(0, 3, samples)] = y
    ids[:, 4:] = random.integers(0, CLASSES, (samples, 2))
    mask[:, 4:] = 0
    return ids, mask, y


def arrays(net: type[nn.Module] = Cnn) -> dict[str, NDArray[Any]]:
    """What a dataset for this network holds."""
    found: dict[str, NDArray[Any]] = {}
    for split, samples, seed in (("train", 192, 1), ("test", 64, 2)):
        if net is Tokens:
            ids, mask, y = sentences(samples, seed)
            found |= {f"x_{split}__ids": ids, f"x_{split}__mask": mask, f"y_{split}": y}
        else:
            x, y = pictures(samples, seed)
            targets = x[:, 0, :4].mean((1, 2)) - x[:, 0, 4:].mean((1, 2))
            found |= {f"x_{split}": x, f"y_{split}": targets[:, None] if net is Regression else y}
    return found


def inputs_of(net: type[nn.Module]) -> tuple[Tensor, ...]:
    """The inputs of the test split, as the graph takes them."""
    return tuple(torch.from_numpy(array) for name, array in arrays(net).items() if name.startswith("x_test"))


def job_folder(root: Path, recipe: list[dict[str, Any]], **given: Any) -> JobDir:
    """A folder for ``engine.run``. Give ``net`` (a class), ``data`` (arrays or None), ``teacher``, or spec fields."""
    folder = JobDir(root)
    root.mkdir(parents=True, exist_ok=True)
    seconds = given.pop("checkpoint_seconds", 60.0)
    net, data = given.pop("net", Cnn), given.pop("data", "default")
    data = arrays(net) if data == "default" else data
    folder.model.write_bytes(saved(net))
    if data is not None:
        staged_dataset(folder, data, given.pop("schema", None))
    if teacher := given.pop("teacher", None):
        other_model(folder, TEACHER_ID, teacher, seed=5)
    spec = {"model": MODEL_ID, "dataset": DATASET_ID if data is not None else None, "recipe": recipe, **given}
    job = EngineJob(
        spec=JobSpec.model_validate(spec), model_digest=_digest(folder.model), device="cpu", checkpoint_seconds=seconds
    )
    folder.spec.write_text(job.model_dump_json())
    return folder


def other_model(folder: JobDir, id: str, net: type[nn.Module], seed: int) -> None:
    """A model that a step names, where a worker would put it."""
    target = folder.other_input(id, "model.pt2")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(saved(net, seed))


def other_dataset(folder: JobDir, id: str, data: dict[str, Any]) -> None:
    """A dataset that a step names, where a worker would put it."""
    staged_dataset(folder.other(id), data)


def staged_dataset(folder: JobDir, data: dict[str, Any], schema: dict[str, Any] | None = None) -> None:
    """What the check of an ``.npz`` of these arrays leaves, where a worker would put it."""
    folder.root.mkdir(parents=True, exist_ok=True)
    upload = folder.root / "upload.npz"
    np.savez(upload, **data)
    declared = None if schema is None else DatasetSchema.model_validate(schema)
    stage_dataset(upload, "dataset.npz", declared, folder)


def _digest(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
