"""What was given for what: every candidate measured in time and memory, beside its size and its quality."""

from collections.abc import Sequence
from itertools import pairwise

from engine.intervals import Interval, ratio_interval
from engine.latency import latencies, timings
from engine.measure import Candidate, measurement
from engine.peak_memory import peak_memory
from engine.session import Arrays
from pith.report import Measurement, Metric


def trade(
    candidates: Sequence[Candidate], found: Sequence[list[Metric]], sample: Arrays, threads: int, short: bool
) -> tuple[list[Measurement], Interval, list[Interval]]:
    """A measurement of each, and the intervals of the speedup from the first to the last and from each to the next.
    ``found`` is their quality; a ``short`` report runs them with one thread and one sample alone."""
    files = [candidate.onnx for candidate in candidates]
    runs = latencies(files, sample)
    speedup, each = ratio_interval(runs[0], runs[-1]), [ratio_interval(*pair) for pair in pairwise(runs)]
    if short:
        return [measurement(*one) for one in zip(candidates, runs, found, strict=True)], speedup, each
    times, memory = timings(files, sample, threads, runs), peak_memory(files, sample)
    measured = [measurement(*one) for one in zip(candidates, runs, found, times, memory, strict=True)]
    return measured, speedup, each
