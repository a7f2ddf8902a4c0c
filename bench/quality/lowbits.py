"""Weights of few bits on ResNet-20 and ResNet-56, CIFAR-10 as JPEG: ``python -m bench.quality.lowbits [20] [56]``.

Prints a Markdown table: accuracy on the 10,000 test images, which nothing is chosen on; bytes of the ONNX file; latency
of one image, against the float file in the same process. Calibration images are from the training split.
"""

import datetime
import io
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.export import Dim, export, save
from torch.nn import functional

from bench.real_data import SHARED
from engine.context import Context
from engine.data.intake import stage_dataset
from engine.environment import processor
from engine.export import write_onnx
from engine.jobdir import EngineJob, JobDir
from engine.measure import Samples, answers, latencies, samples_for
from engine.registry import technique
from engine.run import open_job
from pith.job import JobSpec

FILES = {20: "resnet20-12fca82f.th", 56: "resnet56-4bfd9763.th"}
MEAN, DEVIATION = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
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


class Block(nn.Module):
    """Two convolutions and a shortcut without weights: every second pixel, new channels zero (option A)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.new = after - before

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.new:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.new // 2, self.new // 2))
        return functional.relu(x + y)


class ResNet(nn.Module):
    """For CIFAR (He et al. 2016, arXiv 1512.03385, section 4.2)."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(*(Block(a if i == 0 else b, b, stride if i == 0 else 1) for i in range(blocks)))
            for a, b, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2))
        )
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(functional.relu(self.bn1(self.conv1(x))))))
        out: Tensor = self.linear(x.mean((2, 3)))
        return out


def network(depth: int) -> nn.Module:
    net = ResNet(depth)
    held = torch.load(SHARED.parent / "models/resnet_cifar10" / FILES[depth], map_location="cpu", weights_only=True)
    net.load_state_dict({name.removeprefix("module."): value for name, value in held["state_dict"].items()})
    return net.eval()


def pictures(split: str, most: int | None = None) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Normalized as the networks were trained; ``most`` takes a random part."""
    held = np.load(SHARED / f"cifar10_jpeg/{split}_jpeg.npz")
    blob, ends, y = held["blob"], held["offsets"], held["y"]
    rows = np.arange(len(y)) if most is None else np.sort(np.random.default_rng(0).permutation(len(y))[:most])
    files = (io.BytesIO(blob[ends[row] : ends[row + 1]].tobytes()) for row in rows)
    x = np.stack([np.asarray(Image.open(file).convert("RGB"), np.float32) for file in files])
    return ((x / 255 - MEAN) / DEVIATION).transpose(0, 3, 1, 2).astype(np.float32), y[rows].astype(np.int64)


def measure(depth: int, root: Path) -> Iterator[Found]:
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
    (x_train, y_train), (x_test, y_test) = pictures("train", CALIBRATION), pictures("test")
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


def main(depths: list[int]) -> None:
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    print(f"{datetime.date.today()}, {processor()}, one thread, load {load:.1f}\n")
    print("| network | step | accuracy % | lost | file bytes | times smaller | ms of one image | step seconds |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for depth in depths:
        with tempfile.TemporaryDirectory() as root:
            first: Found | None = None
            for found in measure(depth, Path(root)):
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
    main([int(each) for each in sys.argv[1:]] or list(FILES))
