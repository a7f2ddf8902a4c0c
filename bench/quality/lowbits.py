"""Weights of few bits on ResNet-20 and ResNet-56, CIFAR-10 as JPEG: ``python -m bench.quality.lowbits [20] [56] [--only
WORDS …]``, of whose rows, such as "quantize.adaround (bits=4)", only those with one of the words are run.

Prints a Markdown table: accuracy on the 10,000 test images, which nothing is chosen on; bytes of the ONNX file; latency
of one image, against the float file in the same process. Calibration images are from the training split.
"""

import argparse
import datetime
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import Dim, export, save

from bench.quality.cifar import FILES, mixed, network, pictures
from engine.context import Context
from engine.data.intake import stage_dataset
from engine.environment import processor
from engine.export import write_onnx
from engine.jobdir import EngineJob, JobDir
from engine.latency import latencies
from engine.measure import Samples, answers, samples_for
from engine.registry import technique
from engine.run import open_job
from pith.job import JobSpec

CALIBRATION = 2_000
STEPS: tuple[dict[str, Any], ...] = (
    {"kind": "quantize.float16"},
    {"kind": "quantize.bfloat16"},
    *({"kind": "quantize.weight_only", "bits": bits} for bits in (8, 4, 3)),
    *({"kind": "quantize.adaround", "bits": bits} for bits in (4, 3, 2)),
    *({"kind": "quantize.mixed", "average_bits": bits} for bits in (4.0, 3.0, 2.5)),
)
# Headline rows are run with three seeds, which draw the calibration images.
SEEDS = {"quantize.adaround": (0, 1, 2)}


@dataclass(frozen=True)
class Found:
    """Of one step: accuracy with each seed, the file's bytes, seconds that the step took, and ms of one image."""

    step: dict[str, Any]
    accuracy: tuple[float, ...]
    size_bytes: int
    seconds: float
    latency_ms: float


def measure(depth: int, only: list[str], root: Path) -> Iterator[Found]:
    """The float model first, then every step."""
    folder = _staged(depth, JobDir(root))
    ctx = _context(folder, STEPS[0], 0)
    samples = samples_for(ctx.baseline, ctx.dataset)
    before = root / "float.onnx"
    write_onnx(ctx.baseline, before)
    yield Found(
        {"kind": "float32"}, (_accuracy(before, samples),), before.stat().st_size, 0.0, _ms(before, before, samples)
    )
    for step in STEPS:
        if only and not any(words in _said(step) for words in only):
            continue
        yield _row(folder, step, ctx, samples, before)


def _row(folder: JobDir, step: dict[str, Any], opened: Context, samples: Samples, before: Path) -> Found:
    right, seconds, size, ms = [], 0.0, 0, 0.0
    for seed in SEEDS.get(step["kind"], (0,)):
        job = _job(step, seed)
        ctx = Context(folder, job, opened.baseline, opened.dataset)
        ctx.begin(0)
        started = time.monotonic()
        result = technique(step["kind"])(opened.baseline.copy(), ctx.config, ctx)
        seconds = time.monotonic() - started
        ctx.events.close()
        assert result.finished is not None
        right.append(_accuracy(result.finished, samples))
        size, ms = result.finished.stat().st_size, _ms(before, result.finished, samples)
    return Found(step, tuple(right), size, seconds, ms)


def _staged(depth: int, folder: JobDir) -> JobDir:
    folder.scratch.mkdir(parents=True)
    program = export(network(depth), (torch.zeros(2, 3, 32, 32),), dynamic_shapes=({0: Dim("batch")},))
    save(program, folder.model)
    chosen = np.sort(mixed("train", CALIBRATION))
    (x_train, y_train), (x_test, y_test) = pictures("train", chosen), pictures("test")
    np.savez(folder.root / "data.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    stage_dataset(folder.root / "data.npz", "data.npz", None, folder)
    return folder


def _job(step: dict[str, Any], seed: int) -> EngineJob:
    ids = {"model": "mdl_" + "0" * 26, "dataset": "dts_" + "0" * 26}
    spec = JobSpec.model_validate({**ids, "recipe": [step], "seed": seed})
    return EngineJob(spec=spec, model_digest="sha256:" + "0" * 64, threads=1, device="cpu")


def _context(folder: JobDir, step: dict[str, Any], seed: int) -> Context:
    return open_job(folder, _job(step, seed))


def _accuracy(path: Path, samples: Samples) -> float:
    chosen = answers(path, samples, 1).chosen
    assert chosen is not None
    return float((chosen == samples.split.y).mean())


def _ms(before: Path, after: Path, samples: Samples) -> float:
    """The best of many, in turns with the float file: the machine may be shared."""
    return float(latencies([before, after], samples.take(1))[1].min() * 1e3)


def _said(step: dict[str, Any]) -> str:
    options = ", ".join(f"{name}={value}" for name, value in step.items() if name != "kind")
    return f"{step['kind']}{f' ({options})' if options else ''}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.lowbits")
    parser.add_argument("depths", nargs="*", type=int, default=list(FILES))
    parser.add_argument("--only", nargs="*", default=[])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    print(f"{datetime.date.today()}, {processor()}, one thread, load {load:.1f}\n")
    print("| network | step | accuracy % | lost | file bytes | times smaller | ms of one image | step seconds |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for depth in asked.depths:
        with tempfile.TemporaryDirectory() as root:
            first: Found | None = None
            for found in measure(depth, asked.only, Path(root)):
                first = first or found
                mean = float(np.mean(found.accuracy))
                each = f" ({' '.join(f'{100 * one:.2f}' for one in found.accuracy)})" if len(found.accuracy) > 1 else ""
                print(
                    f"| ResNet-{depth} | {_said(found.step)} | {100 * mean:.2f}{each} "
                    f"| {100 * (first.accuracy[0] - mean):.2f} | {found.size_bytes:,} "
                    f"| {first.size_bytes / found.size_bytes:.2f} | {found.latency_ms:.2f} | {found.seconds:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
