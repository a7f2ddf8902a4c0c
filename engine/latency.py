"""How long models take, by ONNX Runtime on the CPU: all of them in turn in one process, so that a busy moment hits all.

The first figure is of one sample and one thread; more threads and larger batches are tried as long as there is time.
Not covered: other runtimes.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engine.intervals import median_interval
from engine.pieces import ran_out
from engine.session import Arrays, open_session, run_session
from pith.report import Timing

LATENCY_THREADS = 1
WARM_UP = 10
ROUNDS = range(20, 301)
LATENCY_SECONDS = 4.0

BATCHES = (1, 8, 32)
"""Samples at once, for one thread and for all that the job has."""
FURTHER_ROUNDS = range(6, 51)
FURTHER_SECONDS = 0.5
ALL_FURTHER_SECONDS = 20.0

Seconds = NDArray[np.float64]


def latencies(files: Sequence[Path], sample: Arrays, seconds: float = LATENCY_SECONDS) -> list[Seconds]:
    """Seconds of each run, one array a file."""
    runs = [partial(run_session, open_session(path, LATENCY_THREADS), sample) for path in files]
    return in_turn(runs, WARM_UP, ROUNDS, seconds)


def in_turn(runs: Sequence[Callable[[], object]], warm_up: int, rounds: range, seconds: float) -> list[Seconds]:
    """Seconds of each call, one array for each of ``runs``; so many ``rounds``, fewer where they take longer."""
    for run in runs:
        for _ in range(warm_up):
            run()
    found: list[list[float]] = []
    started = time.perf_counter()
    while len(found) < rounds.start or (len(found) < rounds.stop - 1 and time.perf_counter() - started < seconds):
        found.append([_timed(run) for run in runs])
    return list(np.array(found).T)


def timings(
    files: Sequence[Path],
    sample: Arrays,
    threads: int,
    first: Sequence[Seconds],
    most: float = ALL_FURTHER_SECONDS,
) -> list[tuple[Timing, ...]]:
    """The figures of each file: the ``first``, and those with more samples at once and more threads. What would take
    longer than is left of ``most`` seconds is done for the baseline and the result alone, or not at all."""
    found = [[timing(runs, LATENCY_THREADS, 1)] for runs in first]
    one = np.array([np.median(runs) for runs in first])
    ends = time.perf_counter() + most
    for count in sorted({LATENCY_THREADS, threads}):
        for size, runs in _further(files, sample, count, one, ends):
            for index, seconds in runs.items():
                found[index].append(timing(seconds, count, size))
    return [tuple(each) for each in found]


def timing(seconds: Seconds, threads: int, batch_size: int) -> Timing:
    median, (low, high) = float(np.median(seconds)), median_interval(seconds)
    return Timing(
        threads=threads,
        batch_size=batch_size,
        median_ms=median * 1e3,
        median_interval_ms=(low * 1e3, high * 1e3),
        p95_ms=float(np.percentile(seconds, 95)) * 1e3,
        throughput=batch_size / max(median, 1e-9),
    )


def _further(
    files: Sequence[Path], sample: Arrays, threads: int, one: Seconds, ends: float
) -> Iterator[tuple[int, dict[int, Seconds]]]:
    """Batch sizes, and the runs of the files by their places; ``one`` is what one sample takes with one thread."""
    sessions: dict[int, onnxruntime.InferenceSession] = {}
    for size in BATCHES:
        if (threads, size) == (LATENCY_THREADS, 1):
            continue
        chosen = _affordable(one * size, ends - time.perf_counter())
        if not chosen:
            return
        sessions |= {index: open_session(files[index], threads) for index in chosen if index not in sessions}
        batch = tuple(np.repeat(array, size, axis=0) for array in sample)
        runs = [partial(run_session, sessions[index], batch) for index in chosen]
        try:
            found = in_turn(runs, 1, FURTHER_ROUNDS, FURTHER_SECONDS)
        except Exception as error:  # the runtime's errors have no common kind
            if not ran_out(error):
                raise
            return
        yield size, dict(zip(chosen, found, strict=True))


def _affordable(expected: Seconds, left: float) -> Sequence[int]:
    """Which files there is time for, by what a run of each is expected to take."""
    everyone, ends = list(range(len(expected))), sorted({0, len(expected) - 1})
    least = FURTHER_ROUNDS.start + 1
    return next((each for each in (everyone, ends) if expected[each].sum() * least <= left), [])


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
