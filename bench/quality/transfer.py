"""What unlabelled data and another task's network are worth where labels are few, on scikit-learn's digits.

``python -m bench.quality.transfer [--seeds 3]`` prints a table in Markdown. A small network learns from 30 labelled
digits, while 1,297 are there without labels; and one that knows 0 to 4 learns 5 to 9 from 50 labels. All rows of a part
train on the labels for as many epochs, and pictures are shifted at random; a seed draws the labelled samples and the
first weights. The 500 test digits are read once a job.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn
from torch.export import Dim, export, save

from bench.modalities import run_job
from engine.data.intake import stage_dataset
from engine.jobdir import JobDir
from pith.dataset import DatasetSchema, Shares

Arrays = tuple[NDArray[np.float32], NDArray[np.int64]]
Step = dict[str, Any]
SHIFT = {"kind": "crop", "padding": 1}
UNLABELLED = "dts_" + "1" * 26
TRAINING = {"epochs": 60, "batch_size": 20}
LABELLED, LONG = 3, {"epochs": 900, "batch_size": 15}
FEW: dict[str, list[Step]] = {
    "labels alone": [{"kind": "finetune.full", **LONG}],
    "`mean_teacher`": [{"kind": "finetune.mean_teacher", "unlabelled": UNLABELLED, **LONG}],
    "`mean_teacher`, only its average": [
        {"kind": "finetune.mean_teacher", "unlabelled": UNLABELLED, "consistency_weight": 0, **LONG}
    ],
    "`contrastive` on all, then labels": [
        {"kind": "finetune.contrastive", "unlabelled": UNLABELLED, "epochs": 20, "batch_size": 128},
        {"kind": "finetune.full", **LONG},
    ],
}
HEAD = {"kind": "finetune.head", "train": "head"}
NEW: dict[str, list[Step]] = {
    "a fresh network": [{"kind": "finetune.full", **TRAINING}],
    "`head` alone": [{**HEAD, **TRAINING}],
    "`head` and all else": [{"kind": "finetune.head", "head_epochs": 20, **TRAINING}],
    "`head` alone, then `partial`": [
        {**HEAD, **TRAINING, "epochs": 30},
        {"kind": "finetune.partial", "freeze": ["0", "1", "3", "4"], **TRAINING, "epochs": 30},
    ],
    "`head` alone, then `lora`": [
        {**HEAD, **TRAINING, "epochs": 30},
        {"kind": "finetune.lora", **TRAINING, "epochs": 30},
    ],
}


def network(classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )


def digits(low: int, high: int) -> tuple[Arrays, Arrays]:
    """Those from low to high, of shape (samples, 1, 8, 8) and values of 0 to 1, numbered from 0; 500 of all test."""
    found = load_digits()
    x, y = (found.images[:, None] / 16).astype(np.float32), found.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(y))
    parts = [rows[(y[rows] >= low) & (y[rows] <= high)] for rows in (order[:-500], order[-500:])]
    train, test = ((x[rows], y[rows] - low) for rows in parts)
    return train, test


def accuracy(recipe: list[Step], model: Path, train: Arrays, test: Arrays, rest: Arrays | None, root: Path) -> float:
    """Percent of the test samples that are right after a job of this recipe."""
    folder = JobDir(root)
    folder.scratch.mkdir(parents=True)
    folder.model.write_bytes(model.read_bytes())
    _stage(folder, {"x_train": train[0], "y_train": train[1], "x_test": test[0], "y_test": test[1]})
    if rest is not None:
        _stage(folder.other(UNLABELLED), {"x_train": rest[0], "y_train": rest[1]})
    return 100 * (run_job(folder, recipe, (SHIFT,), ["onnx"]).result.get("accuracy") or 0.0)


def _stage(folder: JobDir, arrays: dict[str, NDArray[Any]]) -> None:
    folder.root.mkdir(parents=True, exist_ok=True)
    upload = folder.root / "upload.npz"
    np.savez(upload, **arrays)  # type: ignore[arg-type]
    stage_dataset(upload, upload.name, DatasetSchema(shares=Shares(test=0)), folder)


def few_labels(seed: int, root: Path) -> dict[str, float]:
    train, test = digits(0, 9)
    chosen = _balanced(train[1], LABELLED, seed)
    model, labelled = _fresh(10, seed, root), (train[0][chosen], train[1][chosen])
    return {
        name: accuracy(recipe, model, labelled, test, train, root / str(number))
        for number, (name, recipe) in enumerate(FEW.items())
    }


def new_task(seed: int, root: Path) -> dict[str, float]:
    old, known = digits(0, 4)
    fresh = _fresh(5, seed, root)
    folder = JobDir(root / "old")
    folder.scratch.mkdir(parents=True)
    folder.model.write_bytes(fresh.read_bytes())
    _stage(folder, {"x_train": old[0], "y_train": old[1], "x_test": known[0], "y_test": known[1]})
    run_job(folder, [{"kind": "finetune.full", "epochs": 10, "batch_size": 32}], (), ["pt2"])
    train, test = digits(5, 9)
    chosen = _balanced(train[1], 10, seed)
    labelled = (train[0][chosen], train[1][chosen])
    return {
        name: accuracy(recipe, folder.output("pt2") if number else fresh, labelled, test, None, root / f"new-{number}")
        for number, (name, recipe) in enumerate(NEW.items())
    }


def _balanced(y: NDArray[np.int64], each: int, seed: int) -> NDArray[np.int64]:
    """The rows of so many samples of each class."""
    order = np.random.default_rng(seed).permutation(len(y))
    return np.concatenate([order[y[order] == one][:each] for one in np.unique(y)])


def _fresh(classes: int, seed: int, root: Path) -> Path:
    torch.manual_seed(seed)
    path = root / f"fresh-{classes}.pt2"
    save(export(network(classes).eval(), (torch.zeros(2, 1, 8, 8),), dynamic_shapes=({0: Dim("batch")},)), path)
    return path


def table(found: list[dict[str, float]]) -> str:
    """Means and deviations over the seeds, and in how many of them a row is above the first."""
    first, *_ = found[0]
    lines = ["| trained | accuracy, % | against the first row | seeds above it |", "|---|---|---|---|"]
    for name in found[0]:
        each = [one[name] for one in found]
        gains = [one[name] - one[first] for one in found]
        spread = f" ± {statistics.stdev(each):.2f}" if len(each) > 1 else ""
        above = "" if name == first else f"{sum(gain > 0 for gain in gains)} of {len(gains)}"
        lines.append(f"| {name} | {statistics.fmean(each):.2f}{spread} | {statistics.fmean(gains):+.2f} | {above} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.transfer")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    seeds = range(parser.parse_args().seeds)
    for said, measure in (("30 labels of 10 digits", few_labels), ("50 labels of 5 new digits", new_task)):
        found = []
        for seed in seeds:
            with tempfile.TemporaryDirectory() as root:
                found.append(measure(seed, Path(root)))
        print(f"{said}, {len(seeds)} seeds:\n\n{table(found)}\n", flush=True)


if __name__ == "__main__":
    main()
