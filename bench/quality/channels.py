"""Channel pruning at 2.1 times fewer MACs, and quantization-aware training, against the same network fine-tuned for the
same epochs: ResNet-20 and ResNet-56 on JPEG copies of CIFAR-10.

``python -m bench.quality.channels [20] [56] [--seeds 3] [--epochs 3] [--images 45000] [--check] [--rows FILE]`` prints
a table in Markdown. Every row is a job from the published weights. Options may be chosen with ``--check``, which
measures on 5,000 training pictures that no job trains on; without it the test split is read, once at the end of a job.
``--rows`` keeps finished jobs, from which an interrupted measurement goes on.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import Dim, export, save

from bench.modalities import run_job
from bench.quality.cifar import network, pictures
from engine.data.intake import stage_dataset
from engine.jobdir import JobDir

FEWER = 2.11
CHECKED = 5_000
ALONE = "fine-tuned"
AUGMENTATION = ({"kind": "crop", "padding": 4}, {"kind": "flip"})
TRAINING = {"batch_size": 128, "optimizer": "sgd", "learning_rate": 0.02, "weight_decay": 1e-4}


def recipes(epochs: int) -> dict[str, list[dict[str, Any]]]:
    """All of them train for so many epochs."""
    training = {**TRAINING, "epochs": epochs}
    pruned = {
        "kind": "prune.channel",
        "target": "macs",
        "pruning_ratio": 1 - 1 / FEWER,
        "importance": "taylor",
        "samples": 2048,
        "round_to": 1,
    }
    return {
        ALONE: [{"kind": "finetune.full", **training}],
        f"{FEWER} times fewer MACs, one threshold": [{**pruned, "scope": "global", "recovery": training}],
        f"{FEWER} times fewer MACs, each layer alike": [{**pruned, "scope": "layer", "recovery": training}],
        "distilled after it": [
            {**pruned, "scope": "global"},
            {"kind": "distill.logits", "teacher": "baseline", "temperature": 4, **training},
        ],
        "8 bits, trained": [{"kind": "quantize.qat", "epochs": epochs, "batch_size": 128}],
        "8 bits, calibrated": [{"kind": "finetune.full", **training}, {"kind": "quantize.static"}],
    }


def measure(depth: int, name: str, seed: int, asked: argparse.Namespace, root: Path) -> dict[str, Any]:
    """One job."""
    folder = JobDir(root)
    folder.scratch.mkdir(parents=True)
    program = export(network(depth), (torch.zeros(2, 3, 32, 32),), dynamic_shapes=({0: Dim("batch")},))
    save(program, folder.model)
    x, y = pictures("train")
    order = np.random.default_rng(0).permutation(len(y))
    held, kept = order[:CHECKED], order[CHECKED:][: asked.images]
    x_test, y_test = (x[held], y[held]) if asked.check else pictures("test")
    np.savez(root / "data.npz", x_train=x[kept], y_train=y[kept], x_test=x_test, y_test=y_test)
    del x
    stage_dataset(root / "data.npz", "data.npz", None, folder)
    report = run_job(folder, recipes(asked.epochs)[name], AUGMENTATION, ["onnx"], seed)
    before, after = report.baseline, report.result
    return {
        "key": _key(depth, name, seed, asked),
        "came": before.get("accuracy"),
        "accuracy": after.get("accuracy"),
        "fewer": (before.get("macs") or 0) / (after.get("macs") or 1),
        "faster": report.comparison.speedup,
        "smaller": report.comparison.compression_ratio,
        "seconds": round(report.seconds),
    }


def _key(depth: int, name: str, seed: int, asked: argparse.Namespace) -> str:
    return f"{depth} {'check' if asked.check else 'test'} {asked.images} {asked.epochs} {seed} {name}"


def table(rows: dict[str, dict[str, Any]], asked: argparse.Namespace) -> str:
    lines = ["| network | row | seeds | accuracy % | against fine-tuned | fewer MACs | times smaller | times faster |"]
    lines.append("|" + "---|" * 8)
    for depth in asked.depths:
        alone = None
        for name in recipes(asked.epochs):
            keys = (_key(depth, name, seed, asked) for seed in range(asked.seeds))
            ones = [rows[key] for key in keys if key in rows]
            if not ones:
                continue
            each = [100 * one["accuracy"] for one in ones]
            mean, fewer, smaller, faster = (
                float(np.mean([one[what] for one in ones])) for what in ("accuracy", "fewer", "smaller", "faster")
            )
            alone = 100 * mean if name == ALONE else alone
            against = "" if alone is None else f"{100 * mean - alone:+.2f}"
            spread = f"{100 * mean:.2f} ({min(each):.2f} to {max(each):.2f})"
            network = f"ResNet-{depth}, as it came {100 * ones[0]['came']:.2f}"
            figures = f"{fewer:.2f} | {smaller:.2f} | {faster:.2f}"
            lines.append(f"| {network} | {name} | {len(ones)} | {spread} | {against} | {figures} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.channels")
    parser.add_argument("depths", nargs="*", type=int, default=[20, 56])
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=45_000, help="training pictures")
    parser.add_argument("--check", action="store_true", help="measure on training pictures that are held out")
    parser.add_argument("--rows", type=Path, help="where finished jobs are kept")
    parser.add_argument("--only", nargs="*", default=())
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        kept = asked.rows or Path(place) / "rows.jsonl"
        rows = {one["key"]: one for one in map(json.loads, kept.read_text().splitlines())} if kept.exists() else {}
        jobs = [
            (d, n, s) for s in range(asked.seeds) for d in asked.depths for n in asked.only or recipes(asked.epochs)
        ]
        for number, (depth, name, seed) in enumerate(jobs):
            if (key := _key(depth, name, seed, asked)) not in rows:
                rows[key] = measure(depth, name, seed, asked, Path(place) / str(number))
                with kept.open("a") as file:
                    file.write(json.dumps(rows[key]) + "\n")
    print(table(rows, asked))


if __name__ == "__main__":
    main()
