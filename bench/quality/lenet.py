"""Deep Compression's own case: LeNet-300-100 and LeNet-5 on MNIST, from random weights to one file, decoded and tested.

``python -m bench.quality.lenet [lenet_300_100|lenet_5 …] [--seeds 3] [--first 0] [--choose] [--row NAME …]`` prints a
table. Every number comes out of jobs: one trains the baseline, one compresses it. The file is unpacked by ``pith
unpack`` in a fresh process, and what comes out is tested by ONNX Runtime. Options were chosen with ``--choose``, which
tests on 10,000 images of the training split and trains on the others; without it the test split is read, once at the
end of a job.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.real_data import SHARED
from engine.architectures.from_pith import make
from engine.data.intake import stage_dataset
from engine.jobdir import EngineJob, JobDir
from engine.reload import main as in_this_process
from engine.run import run
from engine.session import open_session, run_session
from pith.job import JobSpec

Step = dict[str, Any]
Arrays = dict[str, NDArray[Any]]
IDS = {"model": "mdl_" + "0" * 26, "dataset": "dts_" + "0" * 26}
CHOSEN_ON = 10_000
SHIFT = {"kind": "crop", "padding": 1}


@dataclass(frozen=True)
class Row:
    """A way to compress, and the figures to reach: how many times smaller, and at what error in percent; None is the
    baseline's own error."""

    recipe: tuple[Step, ...]
    times: float
    error: float | None


@dataclass(frozen=True)
class Case:
    """``weights`` is how many numbers the network has; four bytes each are what it is compared with."""

    weights: int
    dense: Step
    rows: dict[str, Row]


def deep_compression(sparsity: float, bits: int, epochs: int, tuning: int, batch: int, rate: float) -> tuple[Step, ...]:
    """Pruned gradually by what the loss would lose, weights shared, entropy-coded."""
    training = {"batch_size": batch, "learning_rate": rate}
    return (
        {
            "kind": "prune.magnitude",
            "criterion": "taylor",
            "scope": "global",
            "sparsity": sparsity,
            "gradual": {"end": 0.5, "every": 50},
            "recovery": {**training, "epochs": epochs},
        },
        {
            "kind": "quantize.codebook",
            "bits": bits,
            "bias_bits": 4,
            "recovery": {**training, "epochs": tuning, "learning_rate": rate / 4},
        },
        {"kind": "encode.entropy"},
    )


CASES: dict[str, Case] = {
    "lenet_300_100": Case(
        weights=266_610,
        dense={"kind": "finetune.full", "epochs": 30},
        rows={
            "at its own error": Row(deep_compression(0.968, 3, 50, 10, 128, 2e-3), 125, None),
            "smaller": Row(deep_compression(0.972, 3, 50, 10, 128, 2e-3), 160, 1.60),
        },
    ),
    "lenet_5": Case(
        weights=431_080,
        dense={"kind": "finetune.full", "epochs": 15, "batch_size": 256, "learning_rate": 2e-3},
        rows={
            "at its own error": Row(deep_compression(0.975, 3, 40, 8, 256, 2e-3), 165, None),
            "smaller": Row(deep_compression(0.9853, 3, 40, 8, 256, 2e-3), 250, 0.90),
            "towards MIRACLE": Row(deep_compression(0.9915, 3, 40, 8, 256, 2e-3), 555, 0.69),
        },
    ),
}


def mnist(choose: bool) -> Arrays:
    """Pictures of shape (samples, 1, 28, 28), values of 0 to 1."""
    with np.load(SHARED / "mnist" / "mnist.npz") as data:
        x, y, x_test, y_test = (data[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    if choose:
        order = np.random.default_rng(0).permutation(len(x))
        held, kept = order[:CHOSEN_ON], order[CHOSEN_ON:]
        x, y, x_test, y_test = x[kept], y[kept], x[held], y[held]
    return {
        "x_train": _scaled(x),
        "y_train": y.astype(np.int64),
        "x_test": _scaled(x_test),
        "y_test": y_test.astype(np.int64),
    }


def _scaled(x: NDArray[np.uint8]) -> NDArray[np.float32]:
    return (x[:, None] / 255).astype(np.float32)


def measure(name: str, rows: list[str], seed: int, choose: bool, root: Path) -> list[dict[str, Any]]:
    """The baseline of this seed, and each row from it."""
    case, data = CASES[name], mnist(choose)
    started = time.monotonic()
    baseline = _baseline(name, case, data, seed, root)
    trained = time.monotonic() - started
    found = []
    for row in rows:
        wanted = case.rows[row]
        folder, seconds = _job(root / row, baseline, data, wanted.recipe, seed)
        size = folder.output("pith").stat().st_size
        figures = {
            "case": name,
            "row": row,
            "seed": seed,
            "baseline_error": _error(baseline.with_suffix(".onnx"), data),
            "error": _error(_unpacked(folder), data),
            "bytes": size,
            "times": 4 * case.weights / size,
            "to_reach": (wanted.times, wanted.error),
            "seconds": (round(trained), round(seconds)),
        }
        print(json.dumps(figures), file=sys.stderr, flush=True)
        found.append(figures)
    return found


def _baseline(name: str, case: Case, data: Arrays, seed: int, root: Path) -> Path:
    """Trained from random weights; its ``.onnx`` file lies beside it."""
    torch.manual_seed(seed)
    net = make(name, {}, (1, 28, 28)).eval()
    assert sum(parameter.numel() for parameter in net.parameters()) == case.weights
    fresh = root / "fresh.pt2"
    program = torch.export.export(net, (torch.zeros(2, 1, 28, 28),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, fresh)
    folder, _ = _job(root / "dense", fresh, data, (case.dense,), seed)
    return folder.output("pt2")


def _job(root: Path, model: Path, data: Arrays, recipe: tuple[Step, ...], seed: int) -> tuple[JobDir, float]:
    """A job of this recipe, run, and how long that took."""
    folder = JobDir(root)
    root.mkdir(parents=True)
    folder.model.write_bytes(model.read_bytes())
    np.savez(root / "upload.npz", **data)  # type: ignore[arg-type]
    stage_dataset(root / "upload.npz", "mnist.npz", None, folder)
    asked = {**IDS, "recipe": recipe, "seed": seed, "outputs": ["onnx", "pt2"], "augmentation": [SHIFT]}
    digest = "sha256:" + hashlib.sha256(folder.model.read_bytes()).hexdigest()
    job = EngineJob(spec=JobSpec.model_validate(asked), model_digest=digest, device="cpu")
    folder.spec.write_text(job.model_dump_json())
    started = time.monotonic()
    run(root, in_this_process)
    return folder, time.monotonic() - started


def _unpacked(folder: JobDir) -> Path:
    """What ``pith unpack`` makes of the file, in a process that has seen nothing else."""
    target = folder.out / "unpacked.onnx"
    command = [str(Path(sys.executable).with_name("pith")), "unpack", str(folder.output("pith")), "--out", str(target)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return target


def _error(model: Path, data: Arrays) -> float:
    """Percent of the test images that are told wrongly."""
    session, x, y = open_session(model, 1), data["x_test"], data["y_test"]
    told = [run_session(session, (x[i : i + 1000],))[0].argmax(1) for i in range(0, len(x), 1000)]
    return 100 * float((np.concatenate(told) != y).mean())


def table(found: list[dict[str, Any]]) -> str:
    """Means over the seeds, each with its least and greatest."""
    lines = ["| case | row | seeds | baseline error % | error % | bytes | times smaller | to reach |", "|" + "---|" * 8]
    for case, row in dict.fromkeys((one["case"], one["row"]) for one in found):
        ones = [one for one in found if (one["case"], one["row"]) == (case, row)]
        times, error = ones[0]["to_reach"]
        spread = " | ".join(
            _spread([one[what] for one in ones], digits)
            for what, digits in (("baseline_error", 2), ("error", 2), ("bytes", 0), ("times", 1))
        )
        lines.append(f"| {case} | {row} | {len(ones)} | {spread} | {times} at {error or 'its own error'} |")
    return "\n".join(lines)


def _spread(values: list[float], digits: int) -> str:
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main(given: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.lenet")
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--row", action="append")
    asked = parser.parse_args(given)
    found = []
    for name in asked.cases:
        for seed in range(asked.first, asked.first + asked.seeds):
            with tempfile.TemporaryDirectory() as root:
                found += measure(name, asked.row or list(CASES[name].rows), seed, asked.choose, Path(root))
    print(table(found))


if __name__ == "__main__":
    main(sys.argv[1:])
