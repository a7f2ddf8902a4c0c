"""Models that are asked again, about inputs that are not those of the dataset, and how often they may be."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.measure import Candidate, Samples
from engine.randomness import stream
from engine.session import Arrays, cast, open_session, outputs

# What two models together may compute for one section: some fifteen seconds of one thread, for convolutions.
MACS = 1e12
# What a run costs beside its multiply-accumulates, in their measure.
RUN = 200_000
# Copies of samples that are held at once.
HELD_BYTES = 64 << 20


class Asked:
    """One model, by its ONNX file."""

    def __init__(self, path: Path, threads: int) -> None:
        self._session = open_session(path, threads)

    def first(self, x: Arrays) -> NDArray[np.float64]:
        """Its first output for these inputs, some at a time. What is no number is 0."""
        given = outputs(self._session, x, [each.dtype for each in x])
        return np.nan_to_num(np.concatenate([first for first, *_ in given]).astype(np.float64))


def affordable(pair: Sequence[Candidate]) -> int:
    """How many runs, of one sample, of both models a section may take. It follows from the models alone, so that every
    machine makes the same report."""
    dearest = max(candidate.counts.get("macs", 0) for candidate in pair)
    return int(MACS / 2 / (dearest + RUN))


def drawn(samples: Samples, most: int, seed: int, *place: int) -> NDArray[np.int64]:
    """At most so many samples, at random by the job's seed, in the order of the split; fewer of large ones."""
    size = sum(cast([x], slice(1), [dtype])[0].nbytes for x, dtype in zip(samples.split.x, samples.dtypes, strict=True))
    count = min(len(samples), most, max(1, HELD_BYTES // size))
    random = np.random.default_rng(stream(seed, *place))
    return np.sort(random.choice(len(samples), count, replace=False))


def taken(samples: Samples, rows: NDArray[np.int64]) -> Arrays:
    """These samples, one array an input, as the model takes them."""
    return cast(samples.split.x, rows, samples.dtypes)


def instead(x: Arrays, place: int, values: NDArray[np.generic]) -> Arrays:
    """The same inputs with one of them replaced."""
    return (*x[:place], values, *x[place + 1 :])
