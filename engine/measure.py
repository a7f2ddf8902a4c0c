"""Measuring: size, parameters, MACs, latency, quality. Before and after go through the same functions.

Quality is of the first output; signal to noise is that of the output which lost most. Latency is measured by
``latency.py``, memory by ``peak_memory.py``. Not covered: energy.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from engine.data import Dataset, Split
from engine.intervals import Interval, mean_interval, median_interval, share_interval
from engine.model import Model
from engine.objective import PER_SAMPLE, Objective, column_variance, objective
from engine.onnx_model.weights import figures
from engine.probabilities import are_probabilities, probabilities
from engine.session import Arrays, cast, open_session, outputs, run_session
from pith.errors import PithError
from pith.metrics import MetricName
from pith.report import Measurement, Metric, Timing

NOISE_SAMPLES = 64

_UNITS: dict[MetricName, tuple[str, bool]] = {
    "size_bytes": ("bytes", False),
    "parameters": ("parameters", False),
    "nonzero_parameters": ("parameters", False),
    "macs": ("multiply-accumulates", False),
    "latency_median_ms": ("ms", False),
    "latency_p95_ms": ("ms", False),
    "peak_memory_bytes": ("bytes", False),
    "accuracy": ("fraction", True),
    "agreement": ("fraction", True),
    "r2": ("fraction of variance", True),
    "rmse": ("target units", False),
    "mae": ("target units", False),
    "cosine_similarity": ("cosine", True),
    "loss": ("loss", False),
    "sqnr_db": ("dB", True),
}


Origin = Literal["test split", "training inputs", "random inputs"]


@runtime_checkable
class Keeper(Protocol):
    """A layer that stores its weights in another form than it counts them: in fewer bits, or in bytes."""

    def stored_weights(self) -> list[torch.Tensor]: ...


@dataclass(frozen=True)
class Candidate:
    """A model to be measured: its graph's figures, its file in the weighed format, and its ONNX file."""

    counts: dict[MetricName, float]
    onnx: Path


@dataclass(frozen=True)
class Samples:
    """What quality is measured on. ``classes`` says whether the first output holds scores of classes."""

    split: Split
    dtypes: tuple[np.dtype[Any], ...]
    classes: bool
    origin: Origin
    objective: Objective

    def __len__(self) -> int:
        return len(self.split)

    def take(self, count: int) -> Arrays:
        """The first samples, one array an input, as the model takes them."""
        return cast(self.split.x, slice(count), self.dtypes)

    @property
    def quality(self) -> MetricName | None:
        """The metric that constraints are about: the task's own, or agreement of classes where there are no labels."""
        if self.split.y is not None:
            return self.objective.metric
        return "agreement" if self.classes else None


def samples_for(model: Model, dataset: Dataset | None) -> Samples:
    """The test split; without one the training inputs unlabelled; without a dataset noise.

    Raises:
        PithError: ``dataset_mismatch`` for targets that R² cannot be computed on.
    """
    wanted = objective(dataset)
    classes = wanted.classes and model.signature.class_scores()
    dtypes = tuple(spec.numpy_dtype for spec in model.signature.inputs)
    if dataset is not None and dataset.test is not None:
        _check_varies(dataset.test, wanted)
        return Samples(dataset.test, dtypes, classes, "test split", wanted)
    if dataset is not None and dataset.train is not None:
        return Samples(Split(dataset.train.x, None), dtypes, classes, "training inputs", wanted)
    noise = tuple(each.numpy() for each in model.signature.tensors(NOISE_SAMPLES))
    return Samples(Split(noise, None), dtypes, False, "random inputs", wanted)


def _check_varies(test: Split, wanted: Objective) -> None:
    if wanted.metric == "r2" and test.y is not None and not column_variance(test.y).any():
        raise PithError(
            "dataset_mismatch",
            array="y_test",
            problem="has one target for all samples, so that R² does not exist",
            way_out="use a test split whose targets differ",
        )


def first_alike(files: Sequence[Path]) -> int:
    """The first of these ONNX files whose first output, and those of all after it, have the shape of the last's."""
    shapes = [_first_shape(path) for path in files]
    return max((index + 1 for index, shape in enumerate(shapes) if shape != shapes[-1]), default=0)


def _first_shape(path: Path) -> tuple[int | None, ...]:
    output = onnx.load(path, load_external_data=False).graph.output[0]
    return tuple(dim.dim_value or None for dim in output.type.tensor_type.shape.dim)


def metric(name: MetricName, value: float, interval: Interval | None = None) -> Metric:
    unit, higher = _UNITS[name]
    return Metric(name=name, value=value, unit=unit, better="higher" if higher else "lower", interval=interval)


def macs_of(model: Model) -> int:
    """Multiply-accumulates of one sample, of a model with layers."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.at_rest()(*model.signature.tensors(1))
    return int(counter.get_total_flops() // 2)


def counts(model: Model, weighed: Path) -> dict[MetricName, float]:
    """Size, parameters and MACs. Integer weights count as parameters; MACs are of one sample."""
    if not model.trainable and model.finished is not None:
        sizes = {spec.name: (1, *spec.example[1:]) for spec in model.signature.inputs}
        return {"size_bytes": weighed.stat().st_size, **figures(onnx.load(model.finished), sizes)}
    weights: list[torch.Tensor] = list(model.graph.parameters())
    weights += [
        tensor for module in model.graph.modules() if isinstance(module, Keeper) for tensor in module.stored_weights()
    ]
    weights += [buffer for name, buffer in model.graph.named_buffers() if _is_weight(model, name)]
    unique = {weight.data_ptr(): weight for weight in weights}.values()
    return {
        "size_bytes": weighed.stat().st_size,
        "parameters": sum(weight.numel() for weight in unique),
        "nonzero_parameters": sum(int(weight.count_nonzero()) for weight in unique),
        "macs": macs_of(model),
    }


@dataclass(frozen=True)
class Answers:
    """What a model said about the samples, as far as it is needed.

    ``chosen`` are its classes and ``confidence`` their probabilities; ``costs`` what each sample adds to the metric,
    where there are targets, and ``errors`` further figures of those; ``raw`` all outputs for the first samples, where
    nothing else judges them.
    """

    chosen: NDArray[np.int64] | None = None
    costs: NDArray[np.float64] | None = None
    errors: tuple[Metric, ...] = ()
    raw: Arrays | None = None
    confidence: NDArray[np.float64] | None = None


def answers(path: Path, samples: Samples, threads: int) -> Answers:
    """Run the ONNX file over the samples."""
    session = open_session(path, threads)
    chosen, costs, confidence = None, None, None
    errors: tuple[Metric, ...] = ()
    if samples.classes:
        chosen, confidence = _chosen(outputs(session, samples.split.x, samples.dtypes))
    elif samples.split.y is not None:
        costs, errors = _judged(outputs(session, samples.split.x, samples.dtypes), samples)
    judged_alone = len(session.get_outputs()) == 1 and (chosen is not None or costs is not None)
    raw = None if judged_alone else run_session(session, samples.take(NOISE_SAMPLES))
    return Answers(chosen, costs, errors, raw, confidence)


def _chosen(batches: Iterable[Arrays]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The class of every sample, and how sure the model is of it; the first batch tells what outputs are."""
    chosen, confidence, already = [], [], None
    for first, *_ in batches:
        already = are_probabilities(first) if already is None else already
        chosen.append(first.argmax(axis=1))
        confidence.append(probabilities(first, already).max(axis=1))
    return np.concatenate(chosen), np.concatenate(confidence)


def _judged(batches: Iterable[Arrays], samples: Samples) -> tuple[NDArray[np.float64], tuple[Metric, ...]]:
    """The cost of every sample, and for R² the errors in the targets' own unit."""
    costs, squares, sizes, start = [], [], [], 0
    for given in batches:
        rows = slice(start, start + len(given[0]))
        start = rows.stop
        first, targets = torch.from_numpy(given[0]).float(), samples.split.labels(rows)
        assert targets is not None
        costs.append(samples.objective.cost(first, targets).double().numpy())
        if samples.objective.metric == "r2":
            squares.append(PER_SAMPLE["mse"](first, targets).double().numpy())
            sizes.append(PER_SAMPLE["l1"](first, targets).double().numpy())
    errors = _errors(np.concatenate(squares), np.concatenate(sizes)) if squares else ()
    return np.concatenate(costs), errors


def _errors(squares: NDArray[np.float64], sizes: NDArray[np.float64]) -> tuple[Metric, ...]:
    bounds = mean_interval(squares)
    root = None if bounds is None else (max(0.0, bounds[0]) ** 0.5, bounds[1] ** 0.5)
    mean = metric("mae", float(sizes.mean()), mean_interval(sizes))
    return metric("rmse", float(squares.mean()) ** 0.5, root), mean


def quality(mine: Answers, baseline: Answers, samples: Samples) -> list[Metric]:
    """The task's metric where there are labels, agreement of classes, and signal to noise where outputs need it."""
    found = []
    if mine.chosen is not None and baseline.chosen is not None:
        if samples.split.y is not None:
            found.append(_share("accuracy", mine.chosen == samples.split.y))
        found.append(_share("agreement", mine.chosen == baseline.chosen, certain=mine is baseline))
    if mine.costs is not None:
        found += [mean_cost(samples.objective.metric, mine.costs), *mine.errors]
    if mine.raw is not None and baseline.raw is not None and mine is not baseline:
        found.append(metric("sqnr_db", min(map(sqnr_db, baseline.raw, mine.raw))))
    return found


def _share(name: MetricName, right: NDArray[np.bool_], certain: bool = False) -> Metric:
    interval = None if certain else share_interval(int(right.sum()), len(right))
    return metric(name, float(right.mean()), interval)


def mean_cost(name: MetricName, costs: NDArray[np.float64]) -> Metric:
    """A metric that is the mean of its samples' costs, or one less it."""
    mean, bounds = float(costs.mean()), mean_interval(costs)
    if not _UNITS[name][1]:
        return metric(name, mean, bounds)
    return metric(name, 1 - mean, None if bounds is None else (1 - bounds[1], 1 - bounds[0]))


def sqnr_db(signal: NDArray[Any], other: NDArray[Any]) -> float:
    """10 · log10(signal power / noise power), at most 200."""
    noise = float(((signal.astype(np.float64) - other) ** 2).mean())
    power = float((signal.astype(np.float64) ** 2).mean())
    return decibels(power, noise)


def decibels(power: float, noise: float) -> float:
    return 200.0 if noise <= power * 1e-20 else 10 * float(np.log10(max(power, 1e-300) / noise))


def measurement(
    candidate: Candidate,
    seconds: NDArray[np.float64],
    found: list[Metric],
    timings: tuple[Timing, ...] = (),
    memory: int | None = None,
) -> Measurement:
    """``seconds`` are those of runs with one sample and one thread, ``found`` is its quality."""
    numbers = [metric(name, value) for name, value in candidate.counts.items()]
    low, high = median_interval(seconds * 1e3)
    numbers.append(metric("latency_median_ms", float(np.median(seconds)) * 1e3, (low, high)))
    numbers.append(metric("latency_p95_ms", float(np.percentile(seconds, 95)) * 1e3))
    if memory is not None:
        numbers.append(metric("peak_memory_bytes", memory))
    return Measurement(metrics=(*numbers, *found), timings=timings)


def _is_weight(model: Model, name: str) -> bool:
    """Buffers of integer layers are weights; running statistics of norms are not."""
    holder = model.graph.get_submodule(name.rpartition(".")[0])
    if isinstance(holder, Keeper):
        return False
    if model.graph.get_buffer(name).dtype in (torch.float16, torch.bfloat16):
        return True
    return name.endswith((".weight", ".bias")) and hasattr(holder, "weight_scale")
