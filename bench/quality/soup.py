"""A soup of three fine-tuned models (Wortsman et al. 2022, arXiv 2203.05482) against their mean and their best.

``python -m bench.quality.soup``: MNIST. A small network is trained on some samples, then fine-tuned three times on
others, with three learning rates. What is chosen (the best model, the greedy soup) is chosen on the validation split;
the test split is read once, at the end.
"""

import datetime
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, export, save

from bench.real_data import SHARED
from engine.context import Context
from engine.data.intake import stage_dataset
from engine.environment import processor
from engine.export import write_pt2
from engine.jobdir import EngineJob, JobDir
from engine.judge import judge
from engine.model import Model
from engine.registry import technique
from engine.run import open_job
from pith.job import JobSpec

SEEDS = range(3)
START, FINE, VALIDATION = 10_000, 10_000, 5_000
RATES = (2e-3, 4e-3, 8e-3)
MODEL, DATASET = "mdl_" + "0" * 26, "dts_" + "0" * 26
PEERS = tuple("mdl_" + digit * 26 for digit in "123")
ROWS = ("mean of the three", "best of the three", "uniform soup", "greedy soup", "ensemble (3 times the cost)")


@dataclass(frozen=True)
class Found:
    """Test accuracies of one seed."""

    three: tuple[float, ...]
    best: float
    uniform: float
    greedy: float
    ensemble: float

    def row(self) -> tuple[float, ...]:
        return mean(self.three), self.best, self.uniform, self.greedy, self.ensemble


def main() -> None:
    torch.set_num_threads(1)
    found = []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as root:
            found.append(measured(Path(root), seed))
        print(seed, *(f"{each:.4f}" for each in (*found[-1].three, *found[-1].row())), file=sys.stderr)
    print(table(found))


def table(found: list[Found]) -> str:
    """Markdown: accuracy on the test split, and how much above the mean of the three it is, over seeds."""
    columns = list(zip(*(each.row() for each in found), strict=True))
    lines = [
        f"{datetime.date.today()}, {processor()}, one thread, {len(found)} seeds, `python -m bench.quality.soup`; "
        f"load {os.getloadavg()[0]:.1f}",
        "",
        "| MNIST | test accuracy, % | against the mean, points | seeds above it |",
        "|---|---|---|---|",
    ]
    for name, column in zip(ROWS, columns, strict=True):
        gains = [100 * (each - low) for each, low in zip(column, columns[0], strict=True)]
        above = sum(gain > 0 for gain in gains)
        spread = f"{100 * mean(column):.2f} ± {100 * stdev(column):.2f}"
        lines.append(f"| {name} | {spread} | {mean(gains):+.2f} ± {stdev(gains):.2f} | {above} of {len(found)} |")
    return "\n".join(lines)


def measured(root: Path, seed: int) -> Found:
    folder = staged(root / "start", seed, slice(0, START), Small(seed))
    start = applied(folder, seed, {"kind": "finetune.full", "epochs": 3, "batch_size": 64})
    folder = staged(root / "fine", seed, slice(START, START + FINE), None)
    write_pt2(start, folder.model)
    models = [applied(folder, 1000 * seed + index, fine_tuning(rate)) for index, rate in enumerate(RATES)]
    for id, model in zip(PEERS, models, strict=True):
        target = folder.other_input(id, "model.pt2")
        target.parent.mkdir(parents=True)
        write_pt2(model.copy(), target)
    write_pt2(models[0].copy(), folder.model)
    peers = list(PEERS[1:])
    recipes: list[dict[str, Any]] = [
        {"kind": "merge.average", "peers": peers},
        {"kind": "merge.average", "peers": peers, "method": "greedy"},
        {"kind": "merge.weighted", "peers": peers},
    ]
    combined = [applied(folder, seed, step) for step in recipes]
    return judged(folder, seed, models, combined)


def judged(folder: JobDir, seed: int, models: list[Model], combined: list[Model]) -> Found:
    with opened(folder, seed, {"kind": "finetune.full"}) as ctx:
        chosen = max(range(len(models)), key=lambda index: ctx.judge(models[index]))
        test = [_on_test(model, ctx) for model in (*models, *combined)]
    three = tuple(test[: len(models)])
    return Found(three, three[chosen], *test[len(models) :])


def _on_test(model: Model, ctx: Context) -> float:
    assert ctx.dataset is not None and ctx.dataset.test is not None
    return judge(model, ctx.dataset.test, ctx.objective(), ctx.device)


def fine_tuning(rate: float) -> dict[str, Any]:
    return {"kind": "finetune.full", "epochs": 4, "batch_size": 64, "learning_rate": rate}


class Small(nn.Module):
    """Two convolutions with batch norms, one linear layer; 5,130 weights."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.BatchNorm2d(8), nn.ReLU()),
            *(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        )
        self.head = nn.Linear(16 * 49, 10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.features(x).flatten(1))
        return out


def staged(root: Path, seed: int, rows: slice, net: nn.Module | None) -> JobDir:
    """A job's folder with these rows of a shuffled training set; the validation split is the shuffle's end."""
    folder = JobDir(root)
    folder.scratch.mkdir(parents=True)
    with np.load(SHARED / "mnist" / "mnist.npz") as data:
        order = np.random.default_rng(seed).permutation(len(data["x_train"]))
        places = {"train": order[rows], "validation": order[-VALIDATION:]}
        arrays = {f"x_{name}": _scaled(data["x_train"][at]) for name, at in places.items()}
        arrays |= {f"y_{name}": data["y_train"][at].astype(np.int64) for name, at in places.items()}
        arrays |= {"x_test": _scaled(data["x_test"]), "y_test": data["y_test"].astype(np.int64)}
    np.savez(root / "data.npz", **arrays)  # type: ignore[arg-type]
    stage_dataset(root / "data.npz", "data.npz", None, folder)
    if net is not None:
        save(export(net.eval(), (torch.zeros(2, 1, 28, 28),), dynamic_shapes=({0: Dim("batch")},)), folder.model)
    return folder


def _scaled(pictures: np.ndarray) -> np.ndarray:
    return (pictures[:, None].astype(np.float32) - 33.3) / 78.6


def applied(folder: JobDir, seed: int, step: dict[str, Any]) -> Model:
    """The folder's model after one step."""
    with opened(folder, seed, step) as ctx:
        ctx.begin(0)
        return technique(step["kind"])(ctx.baseline.copy(), ctx.config, ctx)


@contextmanager
def opened(folder: JobDir, seed: int, step: dict[str, Any]) -> Iterator[Context]:
    spec = JobSpec.model_validate({"model": MODEL, "dataset": DATASET, "recipe": [step], "seed": seed})
    ctx = open_job(folder, EngineJob(spec=spec, model_digest="sha256:" + "0" * 64, device="cpu", threads=1))
    try:
        yield ctx
    finally:
        ctx.events.close()


if __name__ == "__main__":
    main()
