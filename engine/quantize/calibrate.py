"""Ranges of activations from calibration data: what the runtime itself computes, one batch in memory at a time.

``minmax`` keeps everything; ``percentile`` leaves out as much at either end; ``mse`` has the least squared error of
rounding and clipping; ``entropy`` the least Kullback-Leibler divergence (Migacz 2017, TensorRT). The last three look at
histograms of 2,048 bins, and all keep zero exact, as padding needs it (Jacob et al. 2018, arXiv 1712.05877, section 3).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from engine.quantize.placing import Scale
from engine.session import Arrays, in_pieces, open_session, run_session

Method = Literal["minmax", "percentile", "mse", "entropy"]
Floats = NDArray[np.float64]
Cost = Callable[["Histogram", float, float], float]
LEVELS = 256
_BINS = 2048
_CANDIDATES = np.linspace(0.1, 1.0, 91)


@dataclass(frozen=True)
class Histogram:
    """How many values of a tensor fell between each two of the ``edges``, which span all of them and zero."""

    counts: Floats
    edges: Floats

    @property
    def low(self) -> float:
        return float(self.edges[0])

    @property
    def high(self) -> float:
        return float(self.edges[-1])

    def centres(self) -> Floats:
        centres: Floats = (self.edges[1:] + self.edges[:-1]) / 2
        return centres


def calibrate(
    source: Path, names: Iterable[str], batches: Callable[[], Iterable[Arrays]], method: Method, percentile: float
) -> dict[str, Scale]:
    """A scale for each of these tensors of the file. ``batches`` gives the same samples each time it is called."""
    wanted = list(dict.fromkeys(names))
    tensors = _Tensors(source, wanted)
    spans = dict.fromkeys(wanted, (0.0, 0.0))
    for name, array in tensors.over(batches()):
        low, high = spans[name]
        spans[name] = (min(low, float(array.min())), max(high, float(array.max())))
    if method != "minmax":
        spans = {
            name: _chosen(histogram, method, percentile)
            for name, histogram in _histograms(tensors.over(batches()), spans)
        }
    return {name: scale_of(low, high) for name, (low, high) in spans.items()}


def scale_of(low: float, high: float) -> Scale:
    """256 steps from ``low`` to ``high``, moved by less than one so that zero is a step."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / (LEVELS - 1)
    if step < np.finfo(np.float32).tiny:
        return Scale(1.0, 0)
    return Scale(float(np.float32(step)), round(-low / step))


def squared_error(histogram: Histogram, low: float, high: float) -> float:
    """The sum over all values of ``(rounded - value)²`` when they are rounded to this range."""
    scale, values = scale_of(low, high), histogram.centres()
    integers = np.clip(np.round(values / scale.scale) + scale.zero_point, 0, LEVELS - 1)
    return float((histogram.counts * ((integers - scale.zero_point) * scale.scale - values) ** 2).sum())


def divergence(histogram: Histogram, low: float, high: float) -> float:
    """``KL(P || Q)``: P has the values clipped to this range, Q spreads each of 256 steps over its bins with values."""
    centres, counts = histogram.centres(), _without_zeros(histogram)
    inside = np.flatnonzero((centres >= low) & (centres <= high))
    if len(inside) < LEVELS:
        return float("inf")
    first, last = inside[0], inside[-1]
    kept = counts[first : last + 1]
    clipped = kept.copy()
    clipped[0] += counts[:first].sum()
    clipped[-1] += counts[last + 1 :].sum()
    starts = np.arange(LEVELS) * len(kept) // LEVELS
    filled = np.add.reduceat((clipped > 0).astype(float), starts)
    level = np.add.reduceat(kept, starts) / np.maximum(filled, 1)
    spread = np.repeat(level, np.diff([*starts, len(kept)])) * (clipped > 0)
    p, q = clipped / clipped.sum(), (spread + 1e-12) / (spread + 1e-12).sum()
    here = p > 0
    return float((p[here] * np.log(p[here] / q[here])).sum())


def _without_zeros(histogram: Histogram) -> Floats:
    """Exact zeros, which a ReLU makes by the million, count no more than values beside them: they are never rounded."""
    counts = histogram.counts.copy()
    zero = min(int(np.searchsorted(histogram.edges, 0.0, side="right")) - 1, _BINS - 1)
    beside = [counts[index] for index in (zero - 1, zero + 1) if 0 <= index < _BINS]
    counts[zero] = min(counts[zero], max(beside))
    return counts


_COSTS: dict[Method, Cost] = {"mse": squared_error, "entropy": divergence}


def _chosen(histogram: Histogram, method: Method, percentile: float) -> tuple[float, float]:
    if histogram.high == histogram.low:
        return histogram.low, histogram.high
    if method == "percentile":
        return _percentile(histogram, percentile)
    return _cheapest(histogram, _COSTS[method])


def _percentile(histogram: Histogram, percentile: float) -> tuple[float, float]:
    share = np.cumsum(histogram.counts) / histogram.counts.sum()
    cut = (1 - percentile / 100) / 2
    low, high = histogram.edges[np.searchsorted(share, cut)], histogram.edges[np.searchsorted(share, 1 - cut) + 1]
    return float(low), float(high)


def _cheapest(histogram: Histogram, cost: Cost) -> tuple[float, float]:
    """Each end in turn moved towards zero, the other held, twice."""
    low, high = histogram.low, histogram.high
    for _ in range(2):
        high = min((float(histogram.high * each) for each in _CANDIDATES), key=lambda end: cost(histogram, low, end))
        low = min((float(histogram.low * each) for each in _CANDIDATES), key=lambda end: cost(histogram, end, high))
    return low, high


def _histograms(
    arrays: Iterable[tuple[str, NDArray[np.float32]]], spans: dict[str, tuple[float, float]]
) -> Iterator[tuple[str, Histogram]]:
    counts = {name: np.zeros(_BINS) for name in spans}
    for name, array in arrays:
        low, high = spans[name]
        counts[name] += np.histogram(array, _BINS, (low, high if high > low else low + 1))[0]
    for name, (low, high) in spans.items():
        yield name, Histogram(counts[name], np.linspace(low, high, _BINS + 1))


class _Tensors:
    """The file, made to give these tensors as outputs."""

    def __init__(self, source: Path, names: list[str]) -> None:
        proto = onnx.load(source)
        self.inputs = [value.name for value in proto.graph.input]
        self.given = [name for name in names if name in self.inputs]
        self.made = [name for name in names if name not in self.inputs]
        del proto.graph.output[:]
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self.made)
        opened = source.with_name(f"opened-{source.name}")
        onnx.save(proto, opened)
        self.session = open_session(opened, 1)

    def over(self, batches: Iterable[Arrays]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        for batch in batches:
            for piece, found in in_pieces(self.session, batch) if self.made else [(batch, ())]:
                yield from self._named(piece, found)

    def of(self, batch: Arrays) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """For the whole batch at once."""
        return self._named(batch, run_session(self.session, batch) if self.made else ())

    def _named(self, batch: Arrays, found: Arrays) -> Iterator[tuple[str, NDArray[np.float32]]]:
        yield from zip(self.made, found, strict=True)
        for name in self.given:
            yield name, batch[self.inputs.index(name)]


def tensors_of(source: Path, names: Iterable[str], batch: Arrays) -> dict[str, NDArray[np.float32]]:
    """What these tensors of the file are for one batch."""
    return dict(_Tensors(source, list(dict.fromkeys(names))).of(batch))
