"""What was given for what: every candidate measured in time and memory, beside its size and its quality."""

from collections.abc import Sequence

from engine.intervals import Interval, ratio_interval
from engine.latency import latencies, timings
from engine.measure import Candidate, measurement
from engine.peak_memory import peak_memory
from engine.session import Arrays
from pith.report import Measurement, Metric


def trade(
    candidates: Sequence[Candidate], found: Sequence[list[Metric]], sample: Arrays, threads: int, short: bool
) -> tuple[list[Measurement], Interval]:
    """A measurement of each, and the interval of the speedup from the first to the last. ``found`` is their quality; a
    ``short`` report runs them with one thread and one sample alone."""
    files = [candidate.onnx for candidate in candidates]
    runs = latencies(files, sample)
    speedup = ratio_interval(runs[0], runs[-1])
    if short:
        return [measurement(*each) for each in zip(candidates, runs, found, strict=True)], speedup
    times, memory = timings(files, sample, threads, runs), peak_memory(files, sample)
    return [measurement(*each) for each in zip(candidates, runs, found, times, memory, strict=True)], speedup
