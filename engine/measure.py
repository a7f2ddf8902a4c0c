"""Measuring: size, parameters, MACs, latency, quality. Before and after go through the same functions.

Latency is of one sample, by ONNX Runtime on the CPU with one thread, all candidates alternately in one process.
Not covered: memory, energy, other runtimes.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from engine.data import Dataset
from engine.model import Model
from engine.session import open_session, outputs, run_session
from pith.report import Measurement, Metric, MetricName

LATENCY_THREADS = 1
WARM_UP = 10
ROUNDS = range(20, 301)
LATENCY_SECONDS = 4.0
NOISE_SAMPLES = 64

_UNITS: dict[MetricName, tuple[str, bool]] = {
    "size_bytes": ("bytes", False),
    "parameters": ("parameters", False),
    "nonzero_parameters": ("parameters", False),
    "macs": ("multiply-accumulates", False),
    "latency_median_ms": ("ms", False),
    "latency_p95_ms": ("ms", False),
    "accuracy": ("fraction", True),
    "agreement": ("fraction", True),
    "sqnr_db": ("dB", True),
}


Origin = Literal["test split", "training inputs", "random inputs"]


@dataclass(frozen=True)
class Candidate:
    """A model to be measured: its graph's figures, its file in the weighed format, and its ONNX file."""

    counts: dict[MetricName, float]
    onnx: Path


@dataclass(frozen=True)
class Samples:
    """What quality is measured on. ``classes`` says whether the outputs are scores of classes."""

    x: NDArray[np.generic]
    y: NDArray[np.integer] | None
    dtype: np.dtype[np.generic]
    classes: bool
    origin: Origin

    @property
    def quality(self) -> MetricName | None:
        """The metric that constraints are about."""
        if not self.classes:
            return None
        return "accuracy" if self.y is not None else "agreement"


def samples_for(model: Model, dataset: Dataset | None) -> Samples:
    """The test split; without one the training inputs unlabelled; without a dataset noise."""
    dtype = np.dtype(str(model.signature.dtype).removeprefix("torch."))
    classes = len(model.signature.output) == 2 and (model.signature.output[1] or 0) > 1
    if dataset is not None and dataset.test is not None:
        return Samples(dataset.test.x, dataset.test.y, dtype, classes, "test split")
    if dataset is not None and dataset.train is not None:
        return Samples(dataset.train.x, None, dtype, classes, "training inputs")
    return Samples(model.signature.tensor(NOISE_SAMPLES).numpy(), None, dtype, False, "random inputs")


def metric(name: MetricName, value: float) -> Metric:
    unit, higher = _UNITS[name]
    return Metric(name=name, value=value, unit=unit, better="higher" if higher else "lower")


def counts(model: Model, weighed: Path) -> dict[MetricName, float]:
    """Size, parameters and MACs. Integer weights count as parameters; MACs are of one sample."""
    weights: list[torch.Tensor] = list(model.graph.parameters())
    weights += [buffer for name, buffer in model.graph.named_buffers() if _is_weight(model, name)]
    unique = {weight.data_ptr(): weight for weight in weights}.values()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.at_rest()(model.signature.tensor(1))
    return {
        "size_bytes": weighed.stat().st_size,
        "parameters": sum(weight.numel() for weight in unique),
        "nonzero_parameters": sum(int(weight.count_nonzero()) for weight in unique),
        "macs": counter.get_total_flops() // 2,
    }


def latencies(files: Sequence[Path], sample: NDArray[np.generic]) -> list[NDArray[np.float64]]:
    """Seconds of each run, one array a file; the files take turns, so that a busy moment hits all of them."""
    sessions = [open_session(path, LATENCY_THREADS) for path in files]
    for session in sessions:
        for _ in range(WARM_UP):
            run_session(session, sample)
    rounds: list[list[float]] = []
    started = time.perf_counter()
    while len(rounds) < ROUNDS.start or (
        len(rounds) < ROUNDS.stop - 1 and time.perf_counter() - started < LATENCY_SECONDS
    ):
        rounds.append([_timed(session, sample) for session in sessions])
    return list(np.array(rounds).T)


@dataclass(frozen=True)
class Answers:
    """A model's outputs on the samples: the chosen classes, or all numbers when there are no classes."""

    chosen: NDArray[np.int64] | None
    raw: NDArray[np.float32] | None


def answers(path: Path, samples: Samples, threads: int) -> Answers:
    batches = list(outputs(open_session(path, threads), samples.x, samples.dtype) if samples.classes else ())
    if samples.classes:
        return Answers(np.concatenate([batch.argmax(axis=1) for batch in batches]), None)
    x = samples.x[:NOISE_SAMPLES]
    return Answers(None, np.concatenate(list(outputs(open_session(path, threads), x, samples.dtype))))


def quality(mine: Answers, baseline: Answers, samples: Samples) -> list[Metric]:
    """Accuracy where there are labels, agreement with the baseline, or the signal-to-noise ratio against it."""
    if mine.chosen is None or baseline.chosen is None:
        if mine is baseline:
            return []
        assert mine.raw is not None and baseline.raw is not None
        return [metric("sqnr_db", sqnr_db(baseline.raw, mine.raw))]
    found = [metric("agreement", float((mine.chosen == baseline.chosen).mean()))]
    if samples.y is not None:
        found.insert(0, metric("accuracy", float((mine.chosen == samples.y).mean())))
    return found


def sqnr_db(signal: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """10 · log10(signal power / noise power), at most 200."""
    noise = float(((signal - other).astype(np.float64) ** 2).mean())
    power = float((signal.astype(np.float64) ** 2).mean())
    return 200.0 if noise <= power * 1e-20 else 10 * float(np.log10(max(power, 1e-300) / noise))


def measurement(candidate: Candidate, seconds: NDArray[np.float64], found: list[Metric]) -> Measurement:
    numbers = [metric(name, value) for name, value in candidate.counts.items()]
    numbers.append(metric("latency_median_ms", float(np.median(seconds)) * 1e3))
    numbers.append(metric("latency_p95_ms", float(np.percentile(seconds, 95)) * 1e3))
    return Measurement(metrics=(*numbers, *found))


def _timed(session: object, sample: NDArray[np.generic]) -> float:
    started = time.perf_counter()
    run_session(session, sample)
    return time.perf_counter() - started


def _is_weight(model: Model, name: str) -> bool:
    """Buffers of integer layers are weights; running statistics of norms are not."""
    holder = model.graph.get_submodule(name.rpartition(".")[0])
    return name.endswith((".weight", ".bias")) and hasattr(holder, "weight_scale")
